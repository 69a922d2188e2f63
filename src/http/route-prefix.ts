import { getPath } from 'hono/utils/url'

// Put in front of paths outside the prefix. No request can contain it: URL parsing resolves `..`.
const OUTSIDE = '/..'

/** Returns options for an app that is reachable below the prefix only. Its routes do not contain the prefix. */
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
 * Returns routes that redirect to the app: `/`, and the prefix without its final slash, which relative links
 * need.
 */
export function listRedirectPaths(prefix: string): readonly string[] {
  return prefix === '' ? [] : [`${OUTSIDE}/`, `${OUTSIDE}${prefix}`]
}
