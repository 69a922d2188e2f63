import { parse } from 'yaml'
import * as z from 'zod/mini'
import { parseBareJid } from '../../config/messaging-values.js'
import { ConfigError } from '../../errors.js'
import { getDomain } from '../../xmpp/jid.js'
import { DEFAULT_CONFIG_FILE as CONFIG_FILE } from '../doctor/default-config-file.js'
import type { ProsodyConfiguration } from './prosody-installation.js'

/** The people and the rooms to which the exporter sends alerts, as bare JIDs. */
export type AlertRecipients = { readonly to: readonly string[]; readonly rooms: readonly string[] }

const JIDS = z.nullish(z.array(z.string()))
/** The section `alerts`. A section or a list without a value counts as missing. */
export const ALERTS = z.nullish(z.looseObject({ to: JIDS, rooms: JIDS }))

/**
 * Adds people and rooms to the recipients in the configuration of the exporter. A JID is a room if a component of Prosody
 * with the module muc has its domain, or if it is a room in the configuration.
 */
export function addRecipients(
  { to, rooms }: AlertRecipients,
  jids: readonly string[],
  { hosts }: Pick<ProsodyConfiguration, 'hosts'>,
): AlertRecipients {
  const isRoom = (jid: string) =>
    hosts.some(({ name, component }) => component === 'muc' && name === getDomain(jid))
  const added = jids.filter((jid) => !to.includes(jid) && !rooms.includes(jid))
  return {
    to: [...to, ...added.filter((jid) => !isRoom(jid))],
    rooms: [...rooms, ...added.filter(isRoom)],
  }
}

/**
 * Describes to whom --alerts sends alerts: whether each JID is a person or a room, and what to do if that is wrong.
 *
 * @param jids The recipients that the operator named.
 * @param domain The domain of the component.
 */
export function describeRecipients(
  jids: readonly string[],
  { rooms }: AlertRecipients,
  { hosts, domain }: Pick<ProsodyConfiguration, 'hosts'> & { readonly domain: string },
): string[] {
  if (jids.length === 0) return []
  const isRemote = (jid: string) => hosts.every(({ name }) => name !== getDomain(jid))
  // A VirtualHost has no component. Only its users are certainly people.
  const isUser = (jid: string) =>
    hosts.some(({ name, component }) => name === getDomain(jid) && component === undefined)
  const describe = (jid: string) =>
    `  ${jid}: ${rooms.includes(jid) ? 'room' : 'person'}${isRemote(jid) ? ', not on this Prosody' : ''}`
  const lines = ['Recipients of alerts:', ...jids.map(describe)]
  if (jids.some(isRemote)) {
    lines.push(`Other servers accept messages only if ${domain} has a DNS entry and a certificate.`)
  }
  const uncertain = jids.filter((jid) => !rooms.includes(jid) && !isUser(jid))
  if (uncertain.length > 0) {
    lines.push(
      `Setup recognizes only rooms of this Prosody. If ${uncertain.join(' or ')} is a room, finish this setup. Then move ` +
        `the JID from alerts.to to alerts.rooms in ${CONFIG_FILE}, and run: systemctl reload prosody-exporter`,
    )
  }
  return lines
}

/**
 * Says how to correct the recipients that the test message of setup has found to be wrong.
 *
 * @param jids The recipients that the operator named.
 * @param report The output of doctor --send-test.
 */
export function describeRejections(jids: readonly string[], report: readonly string[]): string[] {
  const rejected = jids.filter((jid) => report.some((line) => line.includes(` ${jid}: rejected`)))
  if (rejected.length === 0) return []
  return [
    `Setup has added ${rejected.join(', ')} to the section alerts in ${CONFIG_FILE}. If a JID is wrong, correct or remove ` +
      'it there, and run: systemctl reload prosody-exporter',
  ]
}

/**
 * Reads the recipients in a configuration of the exporter.
 *
 * @returns The recipients as the exporter reads them; `undefined` without a section `alerts`.
 */
export function readRecipients(text: string): AlertRecipients | undefined {
  const { data } = z.looseObject({ alerts: ALERTS }).safeParse(parseOrUndefined(text))
  return data?.alerts ? normalizeRecipients(data.alerts) : undefined
}

/** Returns the recipients of a section `alerts` as the exporter reads them, each once. */
export function normalizeRecipients({
  to,
  rooms,
}: NonNullable<z.infer<typeof ALERTS>>): AlertRecipients {
  const allRooms = new Set((rooms ?? []).map(normalizeJid))
  const people = new Set((to ?? []).map(normalizeJid))
  return { to: [...people].filter((jid) => !allRooms.has(jid)), rooms: [...allRooms] }
}

/** Returns a JID as the exporter reads it. A text that is no JID stays, and the exporter reports it. */
function normalizeJid(text: string): string {
  try {
    return parseBareJid({ from: 'file', source: CONFIG_FILE, text })
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    return text
  }
}

/** Parses YAML. Returns undefined if the text is malformed. */
export function parseOrUndefined(text: string): unknown {
  try {
    return parse(text)
  } catch {
    return undefined
  }
}
