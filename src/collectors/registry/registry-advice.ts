import { NotHandledError, StanzaError } from '../../errors.js'
import { CollectorError } from '../failure.js'

/** Creates the error for a collection that timed out although the server answered its first requests. */
export function createTooSlowError(series: number): CollectorError {
  return new CollectorError(
    'timeout',
    `The collection timed out after ${series} series. They are cached, so the next collection takes less time. ` +
      'If this error repeats, raise collection.timeout.',
  )
}

/**
 * If Prosody refused the request, returns a `CollectorError`, with advice where the exporter has any. Returns any
 * other error unchanged.
 */
export function addAdvice(error: unknown, domain: string): unknown {
  if (error instanceof NotHandledError) {
    return new CollectorError(
      'not_found',
      'mod_adhoc_statistics is not loaded for the component. ' +
        `Add modules_enabled = { "adhoc_statistics" } to the section Component "${domain}" in prosody.cfg.lua, ` +
        'put the module into a directory of plugin_paths, and restart Prosody. ' +
        'To run without the module, use --no-collector.registry.',
      { cause: error },
    )
  }
  if (!(error instanceof StanzaError)) return error
  if (error.condition === 'forbidden') {
    return new CollectorError(
      'forbidden',
      `Prosody does not let ${domain} read statistics. Another module of Prosody refused the request (${error.text}). ` +
        'Check modules_enabled in prosody.cfg.lua.',
      { cause: error },
    )
  }
  // RFC 6120 §8.3.2: the error type `wait` asks the exporter to retry later. The next scrape retries the request.
  if (error.type === 'wait' && error.condition === 'resource-constraint') {
    return new CollectorError(
      'refused',
      'Prosody gives no more statistics for now. The next scrape retries. If this error repeats, scrape less often or ' +
        `from fewer exporters, or raise adhoc_statistics_max_share in prosody.cfg.lua. Prosody's reason: ${error.text}`,
      { cause: error },
    )
  }
  const message = isSwitchedOff(error)
    ? describeSwitchedOff(error.text)
    : `Prosody refused to give statistics (${error.condition}). See the log of Prosody. Its reason: ${error.text || 'none'}`
  return new CollectorError('refused', message, { cause: error })
}

function isSwitchedOff({ condition, text }: StanzaError): boolean {
  return condition === 'feature-not-implemented' && /keeps no statistics|switched off/.test(text)
}

/**
 * @param text The error text of mod_adhoc_statistics. It has the value for `statistics_interval`, which is a number
 *   before Prosody 0.12 and `"manual"` since then.
 */
function describeSwitchedOff(text: string): string {
  const [interval = '"manual"'] = /(?<=statistics_interval = )(?:"manual"|\d+)/.exec(text) ?? []
  return (
    `Statistics are switched off in Prosody. Put statistics = "internal" and statistics_interval = ${interval} ` +
    'at the top of prosody.cfg.lua, above the first VirtualHost, and restart Prosody.'
  )
}
