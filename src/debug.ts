import { render } from './metrics/exposition.js'
import type { Server } from './server.js'

const MAX_STANZA = 2000
const MAX_STANZAS = 400

/**
 * A collection of the server as text for people: each stanza of the exchange, then what the collectors
 * came to. The secret and the names of users are masked; what is long is cut.
 */
export async function debugText(
  { config, connection, scraper }: Server,
  waitMs: number,
  now: () => number = () => performance.now(),
): Promise<string> {
  const { service, domain, secret } = config.xmpp
  const startedAt = now()
  const lines = [`# ${config.name}: ${domain} at ${service}`]
  let stanzas = 0
  const stop = connection.trace((way, stanza) => {
    if (++stanzas > MAX_STANZAS) return
    // Cut before as well, where no name or secret is cut in two that is shown.
    const whole = masked(stanza.slice(0, 2 * MAX_STANZA + secret.length), secret)
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

/** Without the secret, should a server ever repeat it, and with `…@` for the names of users. */
function masked(text: string, secret: string): string {
  // As attributes, texts and somebody's CDATA have it.
  const forms = [escaped(secret, /[&<>"']/g), escaped(secret, /[&<>]/g), secret]
  return forms
    .reduce((rest, form) => rest.replaceAll(form, '…'), text)
    .replace(/[^\s<>"'@/]+@(?=[^\s<>"'@/])/g, '…@')
}

const ENTITIES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&apos;',
}

function escaped(text: string, characters: RegExp): string {
  return text.replace(characters, (character) => ENTITIES[character]!)
}
