import type { Host } from './describe-host.js'

/** The names with which XMPP servers other than Prosody report themselves begin with these words. */
const OTHER_SERVERS = ['ejabberd', 'Openfire', 'Tigase'] as const

/** Whether the host reports a server name that begins with this word. @see XEP-0030 §3.1 */
export function isSoftware(
  { identities }: Host,
  software: (typeof OTHER_SERVERS)[number],
): boolean {
  return identities.some(({ category, name }) => category === 'server' && name.startsWith(software))
}

export function isOtherThanProsody(host: Host): boolean {
  return OTHER_SERVERS.some((software) => isSoftware(host, software))
}
