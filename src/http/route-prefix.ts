import { getPath } from 'hono/utils/url'

// Paths outside of the prefix get this prefix, which matches only the routes of `listRedirectPaths`. No requested
// path can contain it, because parsing a URL resolves `..`.
const OUTSIDE = '/..'

/**
 * Returns Hono options for an app that clients reach below the prefix only. The routes of the app do not
 * contain the prefix.
 */
export function createPrefixOptions(prefix: string): { getPath?: (request: Request) => string } {
  if (prefix === '') return {}
  return {
    getPath(request) {
      const path = getPath(request)
      return path.startsWith(`${prefix}/`) ? path.slice(prefix.length) : `${OUTSIDE}${path}`
    },
  }
}

/**
 * Returns the routes that must redirect to the prefix with a final slash: `/`, and the prefix without the
 * slash. The relative links of the status page work only with the slash.
 */
export function listRedirectPaths(prefix: string): readonly string[] {
  return prefix === '' ? [] : [`${OUTSIDE}/`, `${OUTSIDE}${prefix}`]
}
