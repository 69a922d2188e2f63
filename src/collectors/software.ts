import type { Host } from './describe-host.js'

/** Servers that are not Prosody, by how the name begins that they give themselves. */
const OTHERS = ['ejabberd', 'Openfire', 'Tigase'] as const

/** Whether a host says that it is that server. @see XEP-0030 §3.1 */
export function isSoftware({ identities }: Host, software: (typeof OTHERS)[number]): boolean {
  return identities.some(({ category, name }) => category === 'server' && name.startsWith(software))
}

export function isOtherThanProsody(host: Host): boolean {
  return OTHERS.some((software) => isSoftware(host, software))
}
