/** The end of a sentence about a port that is not a component port, for each protocol. */
export const DESCRIPTIONS = {
  http: 'it answers with HTTP',
  ssh: 'it answers with SSH',
  smtp: 'it answers with SMTP',
  ftp: 'it answers with FTP',
  imap: 'it answers with IMAP',
  pop3: 'it answers with POP3',
  tls: 'it expects TLS',
  client: 'it is for XMPP clients',
  server: 'it is for XMPP servers',
} as const

export type PortProtocol = keyof typeof DESCRIPTIONS

export function isPortProtocol(name: string): name is PortProtocol {
  return Object.hasOwn(DESCRIPTIONS, name)
}

/** The first bytes of each protocol, from its server to a client that sent the header of an XMPP stream. */
const BEGINNINGS: readonly (readonly [PortProtocol, RegExp])[] = [
  ['http', /^HTTP\/\d/],
  // HTTP/2 without TLS: a SETTINGS frame for stream 0 (RFC 9113 §6.5).
  ['http', /^\0\0[^]\x04\0\0\0\0\0/],
  ['ssh', /^SSH-\d/],
  ['ftp', /^220[ -].*FTP/i],
  ['smtp', /^220[ -]/],
  ['imap', /^\* OK/],
  ['pop3', /^\+OK/],
  // A TLS record with an alert (RFC 8446 §5.1).
  ['tls', /^\x15\x03/],
]

/** Recognizes the protocol of a port by the first bytes that it sends. Returns undefined for XMPP and for the unknown. */
export function recognizeProtocol(start: string): PortProtocol | undefined {
  return BEGINNINGS.find(([, pattern]) => pattern.test(start))?.[0]
}

/** Returns the protocol of a port that sent the header of an XMPP stream, by the default namespace of the header. */
export function recognizeNamespace(namespace: string | undefined): PortProtocol | undefined {
  if (namespace === 'jabber:client') return 'client'
  return namespace === 'jabber:server' ? 'server' : undefined
}
