import { isIP } from 'node:net'
import { domainToASCII } from 'node:url'

const MAX_NAME_LENGTH = 253
/** An underscore is not allowed in a host name (RFC 952), but such names exist and clients connect to them. */
const LABEL = /^(?!-)[a-z0-9_-]{1,63}(?<!-)$/

/**
 * Returns a domain name or host name in lower case, with A-labels (RFC 5890) and without a dot at the end.
 *
 * @returns `undefined` if the text is an IP address or no host name.
 */
export function normalizeHostName(text: string): string | undefined {
  // domainToASCII parses the host of a URL: it removes line breaks, decodes percent signs, and ignores all from a
  // slash on.
  if (/[^\w.\u0080-\u{10ffff}-]/u.test(text)) return undefined
  const name = domainToASCII(text.replace(/\.$/, '')).toLowerCase()
  const labels = name.split('.')
  const isNumber = /^(?:\d+|0x[\da-f]*)$/.test(labels.at(-1) ?? '')
  if (name.length > MAX_NAME_LENGTH || isIP(name) !== 0 || isNumber) return undefined
  return labels.every((label) => LABEL.test(label)) ? name : undefined
}
