/** Returns a JID without its resource. @see RFC 7622 §3.1 */
export function toBareJid(jid: string): string {
  const slash = jid.indexOf('/')
  return slash < 0 ? jid : jid.slice(0, slash)
}

/** Returns the domain of a bare JID. */
export function getDomain(bareJid: string): string {
  return bareJid.slice(bareJid.indexOf('@') + 1)
}
