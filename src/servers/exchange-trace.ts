import { render } from '../exposition/exposition.js'
import { serverMask } from '../log/mask.js'
import type { MonitoredServer } from './monitored-server.js'

const MAX_STANZA = 2000
const MAX_STANZAS = 400

/**
 * A collection of the server as text for people: each stanza of the exchange, then what the collectors
 * came to. The secret and the names of users and rooms are masked; what is long is cut.
 */
export async function traceExchange(
  { config, connection, scraper }: MonitoredServer,
  waitMs: number,
  now: () => number = () => performance.now(),
): Promise<string> {
  const { service, domain, secret } = config.xmpp
  const startedAt = now()
  const lines = [`# ${config.name}: ${domain} at ${service}`]
  const mask = serverMask(secret)
  let stanzas = 0
  const stop = connection.trace((way, stanza) => {
    if (++stanzas > MAX_STANZAS) return
    // Cut before as well, where no name or secret is cut in two that is shown.
    const whole = mask(stanza.slice(0, 2 * MAX_STANZA + secret.length))
    const text = whole.length > MAX_STANZA ? `${whole.slice(0, MAX_STANZA)}…` : whole
    const at = `${Math.round(now() - startedAt)} ms`
    lines.push(`${at} ${way === 'sent' ? '→' : '←'} ${text}`)
  })
  try {
    const { families } = await scraper.collectNow(waitMs)
    if (stanzas > MAX_STANZAS) lines.push(`… and ${stanzas - MAX_STANZAS} more`)
    const figures = families.filter(({ name }) => /^xmpp_up$|^prosody_exporter_c/.test(name))
    lines.push(
      '',
      Buffer.from(render(figures, 'text', { created: false }))
        .toString()
        .trimEnd(),
    )
    return lines.join('\n')
  } finally {
    stop()
  }
}
