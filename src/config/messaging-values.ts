import { valueError, type Given } from './given.js'
import { parseAlertTemplate } from './parse-alert-template.js'
import { parseDomain } from './xmpp-address.js'

// RFC 7622 §3.3.1: the local part of a JID cannot contain these characters, white space or control characters.
const FORBIDDEN_IN_LOCAL_PART = /["&'/:<>@\s\p{C}]/u
const MAX_LOCAL_BYTES = 1023
const MAX_NICK_CHARACTERS = 100
const MAX_TEMPLATE_CHARACTERS = 10_000

/**
 * Parses a bare JID such as `admin@example.com`.
 *
 * @returns The JID in small letters, as the server writes it.
 * @throws ConfigError
 */
export function parseBareJid(given: Given): string {
  const [local = '', domain = '', ...rest] = given.text.split('@').map(prepare)
  const parsedDomain = parseDomain(domain)
  const isLocalPart = local !== '' && !FORBIDDEN_IN_LOCAL_PART.test(local)
  const isTooLong = Buffer.byteLength(local) > MAX_LOCAL_BYTES
  if (rest.length > 0 || parsedDomain === undefined || !isLocalPart || isTooLong) {
    throw valueError(given, 'a JID without a resource, e.g. admin@example.com')
  }
  const prepared = `${local}@${parsedDomain}`
  // The server answers from the prepared JID, so an error of the server would not belong to another form.
  if (prepared !== given.text.normalize('NFC').toLowerCase()) {
    throw valueError(given, `the form that Prosody uses, e.g. ${prepared}`)
  }
  return prepared
}

/**
 * Folds the case of a part of a JID as Prosody does, for example `ß` to `ss`. JavaScript would fold `Σ` to `ς` at the end
 * of a word, and therefore each character is folded alone.
 *
 * @see RFC 3920 Appendix A (Nodeprep), RFC 3491 (Nameprep)
 */
function prepare(text: string): string {
  const fold = (char: string) => (char === 'ı' ? char : char.toUpperCase().toLowerCase())
  const visible = text.normalize('NFKC').replace(/\p{Variation_Selector}/gu, '')
  return Array.from(visible, fold).join('').normalize('NFKC')
}

/** Parses the nickname of an occupant of a room. @throws ConfigError */
export function parseNick(given: Given): string {
  const nick = given.text.trim()
  if (nick === '' || nick.length > MAX_NICK_CHARACTERS || /\p{C}/u.test(nick)) {
    throw valueError(given, `a nickname of 1 to ${MAX_NICK_CHARACTERS} characters`)
  }
  return nick
}

/** Checks the template of an alert. @throws ConfigError */
export function parseTemplate(given: Given): string {
  if (given.text.trim() === '' || given.text.length > MAX_TEMPLATE_CHARACTERS) {
    throw valueError(given, `a text of at most ${MAX_TEMPLATE_CHARACTERS} characters`)
  }
  parseAlertTemplate(given)
  return given.text
}

/** Parses the address of Alertmanager. @returns The URL without a slash at its end. @throws ConfigError */
export function parseAlertmanagerUrl(given: Given): string {
  const url = URL.canParse(given.text) ? new URL(given.text) : undefined
  const isWebAddress = url?.protocol === 'http:' || url?.protocol === 'https:'
  const hasOnlyPath = url?.username === '' && url.password === '' && !url.search && !url.hash
  if (!isWebAddress || !hasOnlyPath) {
    throw valueError(given, 'the URL of Alertmanager, e.g. http://127.0.0.1:9093, without a user')
  }
  return url.href.replace(/\/+$/, '')
}
