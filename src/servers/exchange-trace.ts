import { render } from '../exposition/exposition.js'
import { serverMask } from '../log/mask.js'
import type { MonitoredServer } from './monitored-server.js'

// Characters.
const MAX_STANZA_LENGTH = 2000
const MAX_STANZAS = 400

/**
 * Collects from the server now, and describes the collection as text for people. First comes each stanza
 * that was sent or received, then the exporter's own metrics about the collectors. The secret and the
 * names of users and rooms are masked, and long stanzas are shortened.
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
    // Shortened before masking too, to limit the work. This cuts behind the part that is shown, because
    // the mask does not recognize half a secret or half a name.
    const masked = mask(stanza.slice(0, 2 * MAX_STANZA_LENGTH + secret.length))
    const text =
      masked.length > MAX_STANZA_LENGTH ? `${masked.slice(0, MAX_STANZA_LENGTH)}…` : masked
    const at = `${Math.round(now() - startedAt)} ms`
    lines.push(`${at} ${way === 'sent' ? '→' : '←'} ${text}`)
  })
  try {
    const { families } = await scraper.collectNow(waitMs)
    if (stanzas > MAX_STANZAS) lines.push(`… and ${stanzas - MAX_STANZAS} more stanzas`)
    const shown = families.filter(({ name }) => /^xmpp_up$|^prosody_exporter_c/.test(name))
    lines.push(
      '',
      Buffer.from(render(shown, 'text', { created: false }))
        .toString()
        .trimEnd(),
    )
    return lines.join('\n')
  } finally {
    stop()
  }
}
