import { getPath } from 'hono/utils/url'

// What is not below the prefix. No route of ours has it: a URL's path never goes above its root.
const OUTSIDE = '/..'

/** Options for an app whose routes are all below the prefix and don't know of it. */
export function belowPrefix(prefix: string): { getPath?: (request: Request) => string } {
  if (prefix === '') return {}
  return {
    getPath(request) {
      const path = getPath(request)
      return path.startsWith(`${prefix}/`) ? path.slice(prefix.length) : `${OUTSIDE}${path}`
    },
  }
}

/** Routes for who asks for `/`, or leaves out the slash that the links of a page need. */
export function beforePrefix(prefix: string): readonly string[] {
  return prefix === '' ? [] : [`${OUTSIDE}/`, `${OUTSIDE}${prefix}`]
}
