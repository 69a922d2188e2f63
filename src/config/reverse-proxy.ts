/** Where we are behind a reverse proxy, as blackbox_exporter and Prometheus take it. */

import { valueError } from './values.js'
import { ConfigError } from '../errors.js'
import type { Given } from './read-settings.js'

export type ReverseProxy = {
  /** In front of every path that we answer: empty, or as `/prosody`. */
  readonly routePrefix: string
  /** Where readers find us: the path in front of ours, and the origin if it is told. */
  readonly external: { readonly origin: string | undefined; readonly path: string }
}

/** The path of the URL is the prefix of our own too, unless another is given: `/` for none. */
export function readReverseProxy(url: Given | undefined, prefix: Given | undefined): ReverseProxy {
  const external = url && externalUrl(url)
  const routePrefix = prefix ? path(prefix, prefix.text) : (external?.path ?? '')
  return { routePrefix, external: external ?? { origin: undefined, path: routePrefix } }
}

function externalUrl(given: Given): ReverseProxy['external'] {
  // A URL with a password in it is not shown.
  if (given.text.includes('@')) {
    throw new ConfigError(
      `${given.source}: expected http[s]://host[:port][/path], got a URL with a user in it`,
    )
  }
  const url = URL.canParse(given.text) ? new URL(given.text) : undefined
  const isPlain = /^https?:\/\/[^/?#\\\s]+(?:\/[^?#\\\s]*)?$/i.test(given.text)
  if (!url || !isPlain) throw valueError(given, 'http[s]://host[:port][/path]')
  return { origin: url.origin, path: path(given, url.pathname) }
}

/** `/a/b` of `a/b/`, and nothing of `/`. No character that a URL gives a meaning. */
function path(given: Given, text: string): string {
  const parts = text.replace(/^\/+|\/+$/g, '').split('/')
  if (parts.length === 1 && parts[0] === '') return ''
  if (!parts.every((part) => /^[\w.~-]+$/.test(part) && !/^\.\.?$/.test(part))) {
    throw valueError(given, 'a path with only letters, digits and . _ ~ - /')
  }
  return `/${parts.join('/')}`
}
