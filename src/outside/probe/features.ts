import type { Element } from '../../xmpp/xml.js'
import type { UnplacedProblem } from '../outside-check.js'
import { DETAIL_LENGTH } from './name-failure.js'
import { toPlainLine } from './transcript.js'

export const NS_STREAM = 'http://etherx.jabber.org/streams'
/** RFC 6120 §5 */
export const NS_STARTTLS = 'urn:ietf:params:xml:ns:xmpp-tls'
/** RFC 6120 §6 */
const NS_SASL = 'urn:ietf:params:xml:ns:xmpp-sasl'
/** XEP-0388 */
const NS_SASL2 = 'urn:xmpp:sasl:2'
/** XEP-0440 */
const NS_CHANNEL_BINDING = 'urn:xmpp:sasl-cb:0'
/** XEP-0220 */
const NS_DIALBACK = 'jabber:server:dialback'
const NS_DIALBACK_FEATURE = 'urn:xmpp:features:dialback'

/** Prosody has 10 mechanisms with all its modules. A name has at most 20 characters (RFC 4422 §3.1). */
const MAX_NAMES = 32
const MAX_NAME_LENGTH = 40

/** The features that a server offers on a stream. */
export type StreamFeatures = {
  readonly hasStartTls: boolean
  readonly mechanisms: readonly string[]
  readonly channelBindings: readonly string[]
  readonly offersDialback: boolean
}

/**
 * Reads the features of a stream: SASL mechanisms, also those of SASL2 (XEP-0388), and types of channel binding.
 *
 * @param root The root element of the stream. A server that knows dialback declares its namespace there (XEP-0220 §2.1).
 */
export function readFeatures(features: Element, root: Element): StreamFeatures {
  const mechanisms = [
    features.getChild('mechanisms', NS_SASL),
    features.getChild('authentication', NS_SASL2),
  ].flatMap((each) => each?.getChildren('mechanism').map((mechanism) => mechanism.text()) ?? [])
  const bindings = features.getChild('sasl-channel-binding', NS_CHANNEL_BINDING)
  return {
    hasStartTls: features.getChild('starttls', NS_STARTTLS) !== undefined,
    mechanisms: toNames(mechanisms),
    channelBindings: toNames(
      bindings?.getChildren('channel-binding').map(({ attrs }) => attrs.type ?? '') ?? [],
    ),
    offersDialback:
      features.getChild('dialback', NS_DIALBACK_FEATURE) !== undefined ||
      Object.values(root.attrs).includes(NS_DIALBACK),
  }
}

/**
 * Returns the problem that an element in the place of the features stands for, or `undefined` for features and for an
 * error that says that there are none.
 */
export function judgeFirstElement(element: Element): UnplacedProblem | undefined {
  if (element.is('features', NS_STREAM)) return undefined
  if (isWithoutFeatures(element)) return undefined
  if (!element.is('error', NS_STREAM))
    return { code: 'features_missing', detail: toPlainLine(element.name, DETAIL_LENGTH) }
  const { condition, text } = readStreamError(element)
  const detail = toPlainLine(text === '' ? condition : `${condition}: ${text}`, DETAIL_LENGTH)
  if (condition === 'host-unknown') return { code: 'host_unknown', detail }
  // The port serves another kind of stream (RFC 6120 §4.9.3.10).
  if (condition === 'invalid-namespace') return { code: 'wrong_service', detail }
  return { code: 'stream_error', detail }
}

/**
 * Whether a server ends a stream inside TLS because the other server has no certificate: Prosody with `s2s_secure_auth`,
 * and ejabberd with `s2s_use_starttls: required_trusted`. Nobody has authenticated yet, so only the missing certificate
 * can be the reason of `not-authorized`.
 */
export function isMissingCertificate(element: Element): boolean {
  if (!element.is('error', NS_STREAM)) return false
  const { condition, text } = readStreamError(element)
  return (
    condition === 'not-authorized' ||
    (condition === 'policy-violation' && /certificate/i.test(text))
  )
}

/** @see RFC 6120 §4.9.2 */
function readStreamError(error: Element): { readonly condition: string; readonly text: string } {
  const condition = error.getChildElements().find((child) => child.getName() !== 'text')
  return {
    condition: condition?.getName() ?? 'undefined-condition',
    text: error.getChildText('text') ?? '',
  }
}

/** Prosody closes a stream instead of sending empty features. */
function isWithoutFeatures(element: Element): boolean {
  const { text } = readStreamError(element)
  return element.is('error', NS_STREAM) && /^No stream features to (?:offer|proceed)/.test(text)
}

function toNames(texts: readonly string[]): readonly string[] {
  const names = texts.map((text) => toPlainLine(text, MAX_NAME_LENGTH))
  return [...new Set(names)].filter((name) => name !== '').slice(0, MAX_NAMES)
}
