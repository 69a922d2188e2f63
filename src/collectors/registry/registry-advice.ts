import { NotHandledError, StanzaError } from '../../errors.js'
import { CollectorError } from '../failure.js'

/** Returns the error for a collection whose time ran out although the server answered page after page. */
export function createTooSlowError(series: number): CollectorError {
  return new CollectorError(
    'timeout',
    `The collection timed out after ${series} series. They are cached, so the next collection takes less time. ` +
      'If it repeats, raise collection.timeout.',
  )
}

/** Returns an error that says what to change and where, or the same error if there is no advice. */
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
      `Prosody does not let ${domain} read statistics (${error.text}). mod_adhoc_statistics allows it, ` +
        'so another module forbids it. Check modules_enabled in prosody.cfg.lua.',
      { cause: error },
    )
  }
  // RFC 6120 §8.3.2, type `wait`: an immediate retry would cause more load. The next scrape retries.
  if (error.type === 'wait' && error.condition === 'resource-constraint') {
    return new CollectorError(
      'refused',
      `Prosody gives no more statistics for now (${error.text}). Scrape less often or from fewer exporters, ` +
        'or raise adhoc_statistics_max_share in prosody.cfg.lua. The next scrape retries.',
      { cause: error },
    )
  }
  const message = isSwitchedOff(error)
    ? describeSwitchedOff(error.text)
    : `Prosody refused to give statistics: ${error.message}`
  return new CollectorError('refused', message, { cause: error })
}

function isSwitchedOff({ condition, text }: StanzaError): boolean {
  return condition === 'feature-not-implemented' && /keeps no statistics|switched off/.test(text)
}

/** @param text The module's error text. It names the interval to set, which is a number before Prosody 0.12. */
function describeSwitchedOff(text: string): string {
  const [interval = '"manual"'] = /(?<=statistics_interval = )(?:"manual"|\d+)/.exec(text) ?? []
  return (
    `Statistics are switched off in Prosody. Put statistics = "internal" and statistics_interval = ${interval} ` +
    'at the top of prosody.cfg.lua, above the first VirtualHost, and restart Prosody.'
  )
}
