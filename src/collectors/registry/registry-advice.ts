import { NotHandledError, StanzaError } from '../../errors.js'
import { CollectorError } from '../failure.js'

/** Time ran out while the server was answering. */
export function tooSlow(series: number): CollectorError {
  return new CollectorError(
    'timeout',
    `more than ${series} series could not be read within the collection's time-out; what was read is kept, and the next collection is quicker`,
  )
}

/** The same failure with what to change and where, if somebody can. */
export function withAdvice(error: unknown, domain: string): unknown {
  if (error instanceof NotHandledError) {
    return new CollectorError(
      'not_found',
      `mod_adhoc_statistics is not loaded for the component: in prosody.cfg.lua, in the section Component "${domain}", ` +
        'set modules_enabled = { "adhoc_statistics" } and have the module in one of plugin_paths, then restart Prosody; ' +
        'or do without it, with --no-collector.registry',
      { cause: error },
    )
  }
  if (!(error instanceof StanzaError)) return error
  if (error.condition === 'forbidden') {
    return new CollectorError(
      'forbidden',
      `Prosody does not let ${domain} read statistics (${error.text}): mod_adhoc_statistics itself allows its component, ` +
        'so another module of modules_enabled in prosody.cfg.lua forbids it',
      { cause: error },
    )
  }
  // RFC 6120 §8.3.2, `wait`: to ask again at once would take more of the same; the next scrape does.
  if (error.type === 'wait' && error.condition === 'resource-constraint') {
    return new CollectorError(
      'refused',
      `Prosody gives no more statistics for now (${error.text}): scrape it less often or from fewer exporters, ` +
        'or raise adhoc_statistics_max_share in prosody.cfg.lua; the next scrape asks again',
      { cause: error },
    )
  }
  const words = isSwitchedOff(error) ? switchedOff(error.text) : refused(error)
  return new CollectorError('refused', words, { cause: error })
}

const refused = ({ message }: StanzaError) => `Prosody refused to give statistics: ${message}`

function isSwitchedOff({ condition, text }: StanzaError): boolean {
  return condition === 'feature-not-implemented' && /keeps no statistics|switched off/.test(text)
}

/** @param text The module names the interval: before 0.12 it has to be a number. */
function switchedOff(text: string): string {
  const [interval = '"manual"'] = /(?<=statistics_interval = )(?:"manual"|\d+)/.exec(text) ?? []
  return (
    `Statistics are switched off in Prosody. Put statistics = "internal" and statistics_interval = ${interval} ` +
    'at the top of prosody.cfg.lua, above the first VirtualHost, and restart Prosody.'
  )
}
