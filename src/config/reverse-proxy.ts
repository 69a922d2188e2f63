/** The address of the exporter behind a reverse proxy, configured as in blackbox_exporter and Prometheus. */

import { ConfigError } from '../errors.js'
import { valueError, type Given } from './given.js'

export type ReverseProxy = {
  /** The prefix of every path that the exporter serves: empty, or for example `/prosody`. */
  readonly routePrefix: string
  /** The public address of the exporter: its path, and its origin if `--web.external-url` is set. */
  readonly external: ExternalUrl
}

type ExternalUrl = { readonly origin: string | undefined; readonly path: string }

/**
 * Combines `--web.external-url` and `--web.route-prefix`. If only one of them is set, the other has the same path.
 */
export function combineProxySettings(
  external: ExternalUrl | undefined,
  routePrefix: string | undefined,
): ReverseProxy {
  const prefix = routePrefix ?? external?.path ?? ''
  return { routePrefix: prefix, external: external ?? { origin: undefined, path: prefix } }
}

/** Parses `--web.external-url`. @throws ConfigError */
export function parseExternalUrl(given: Given): ExternalUrl {
  // The text before the @ can be a password, so the message does not show the URL.
  if (given.text.includes('@')) {
    throw new ConfigError(
      `${given.source}: expected http[s]://host[:port][/path], got a URL with a user in it`,
    )
  }
  const url = URL.canParse(given.text) ? new URL(given.text) : undefined
  const isPlain = /^https?:\/\/[^/?#\\\s]+(?:\/[^?#\\\s]*)?$/i.test(given.text)
  if (!url || !isPlain) throw valueError(given, 'http[s]://host[:port][/path]')
  return { origin: url.origin, path: parsePath(given, url.pathname) }
}

/** Parses `--web.route-prefix`. A prefix of `/` means no prefix. @throws ConfigError */
export function parseRoutePrefix(given: Given): string {
  return parsePath(given, given.text)
}

/** @returns A path without a slash at its end, for example `/a/b` for `a/b/`; empty for `/`. */
function parsePath(given: Given, text: string): string {
  const parts = text.replace(/^\/+|\/+$/g, '').split('/')
  if (parts.length === 1 && parts[0] === '') return ''
  // All other characters are refused, because some have a meaning in a route pattern or in a URL.
  if (!parts.every((part) => /^[\w.~-]+$/.test(part) && !/^\.\.?$/.test(part))) {
    throw valueError(given, 'a path with only letters, digits and . _ ~ - /')
  }
  return `/${parts.join('/')}`
}
