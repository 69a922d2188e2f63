import { recognizeProtocol, type PortProtocol } from '../../xmpp/port-protocol.js'
import type { ProblemCode } from '../problem-severity.js'
import { toPlainLine } from './transcript.js'

/** The protocol of the first bytes from the other side, if they do not begin an XML document. */
export type ForeignStart = { readonly code: ProblemCode; readonly detail?: string }

/** `undecided`: there are too few bytes. */
export type RecognizedStart = 'xml' | 'undecided' | ForeignStart

/** How many of the first bytes `recognizeStart` reads. */
export const START_LENGTH = 200
/** A first line that is shorter is undecided until it is complete. */
const DECISIVE_LENGTH = 24
const DETAIL_LENGTH = 80

const FOREIGN: Readonly<Record<PortProtocol, ForeignStart>> = {
  http: { code: 'http_server' },
  ssh: { code: 'ssh_server' },
  smtp: { code: 'not_xmpp', detail: 'SMTP' },
  ftp: { code: 'not_xmpp', detail: 'FTP' },
  imap: { code: 'not_xmpp', detail: 'IMAP' },
  pop3: { code: 'not_xmpp', detail: 'POP3' },
  tls: { code: 'tls_unexpected' },
  client: { code: 'wrong_service' },
  server: { code: 'wrong_service' },
}

/**
 * Recognizes what the other side speaks by its first bytes, after the header of a stream was sent to it.
 *
 * @param isComplete Whether no more bytes arrive.
 */
export function recognizeStart(bytes: Buffer, isComplete = false): RecognizedStart {
  const text = bytes.toString('latin1').trimStart()
  if (text === '') return 'undecided'
  if (text.startsWith('<')) return 'xml'
  const protocol = recognizeProtocol(text)
  if (protocol) return FOREIGN[protocol]
  // A TLS record with a handshake message (RFC 8446 §5.1). `recognizeProtocol` knows those with an alert.
  if (text.startsWith('\x16\x03')) return FOREIGN.tls
  const isDecided = isComplete || text.length >= DECISIVE_LENGTH || text.includes('\n')
  return isDecided ? { code: 'not_xmpp', detail: toPlainLine(text, DETAIL_LENGTH) } : 'undecided'
}
