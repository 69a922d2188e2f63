import type { Host } from './describe-host.js'

/** Beginnings of the names of other servers, as they report them. */
const OTHER_SERVERS = ['ejabberd', 'Openfire', 'Tigase'] as const

/** Whether a host reports that it runs this software. @see XEP-0030 §3.1 */
export function isSoftware(
  { identities }: Host,
  software: (typeof OTHER_SERVERS)[number],
): boolean {
  return identities.some(({ category, name }) => category === 'server' && name.startsWith(software))
}

export function isOtherThanProsody(host: Host): boolean {
  return OTHER_SERVERS.some((software) => isSoftware(host, software))
}
