import { render } from '../exposition/exposition.js'
import { serverMask } from '../log/mask.js'
import type { MonitoredServer } from './monitored-server.js'

const MAX_STANZA_CHARACTERS = 2000
const MAX_STANZAS = 400

/**
 * Collects from the server now, and returns a text about this collection for people. The text has the requests that
 * were sent and the stanzas that were received, 400 at most, and then `xmpp_up` and those of the exporter's own metrics
 * whose names begin with `prosody_exporter_c`. The secret and the names of users and rooms are masked, and long stanzas
 * are shortened.
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
    // The stanza is shortened before and after masking. The first cut limits the work of the mask. It keeps more than
    // is shown, because the mask does not recognize half of a secret or half of a name.
    const masked = mask(stanza.slice(0, 2 * MAX_STANZA_CHARACTERS + secret.length))
    const text =
      masked.length > MAX_STANZA_CHARACTERS ? `${masked.slice(0, MAX_STANZA_CHARACTERS)}…` : masked
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
