import { valueError, type Given } from './given.js'
import { PAGE_PATHS } from './page-paths.js'

const RESERVED_PATHS = ['/-/healthy', '/-/ready', '/-/reload', '/config', '/probe', '/sd']

/** Parses `--web.telemetry-path`, the path of the metrics. @throws ConfigError */
export function parseTelemetryPath(given: Given): string {
  const { text } = given
  // All other characters are refused, because some have a meaning in a route pattern or in a URL.
  if (!/^(?:\/|(?:\/[\w.~-]+)+)$/.test(text)) {
    throw valueError(given, 'a path that starts with / and has only letters, digits and . _ ~ - /')
  }
  if (RESERVED_PATHS.includes(text)) {
    throw valueError(given, `a path other than ${RESERVED_PATHS.join(', ')}`)
  }
  if (PAGE_PATHS.includes(text)) throw valueError(given, 'a path that the page at / does not use')
  return text
}
