import { isIP } from 'node:net'
import { parseArgs } from 'node:util'
import { duration } from '../../config/kinds.js'
import { parseHostName, parseNameServer, SIDES } from '../../config/outside-values.js'
import { quote } from '../../config/quote.js'
import { ConfigError } from '../../errors.js'
import type { Side } from '../../outside/dns/find-endpoints.js'

export type OutsideFlags = {
  /** In lower case, with A-labels (RFC 5890) and without a dot at the end. */
  readonly domain: string
  readonly isJson: boolean
  readonly isVerbose: boolean
  readonly sides: readonly Side[]
  /** Empty: the DNS servers of the system. */
  readonly nameServers: readonly string[]
  readonly allowPrivate: boolean
  readonly s2sFrom: string | undefined
  readonly timeoutMs: number
  readonly checksWeb: boolean
}

const OPTIONS = {
  json: { type: 'boolean' },
  verbose: { type: 'boolean' },
  sides: { type: 'string', multiple: true },
  'name-server': { type: 'string', multiple: true },
  'allow-private': { type: 'boolean' },
  's2s-from': { type: 'string' },
  timeout: { type: 'string' },
  'no-web': { type: 'boolean' },
} as const

const TIMEOUT = duration({ min: '1s', max: '60s' })
const DEFAULT_TIMEOUT = '10s'

/** Parses the flags of `prosody-exporter outside`. @throws ConfigError */
export function parseOutsideFlags(args: readonly string[]): OutsideFlags {
  const { values, positionals } = parse(args)
  const [domain, ...more] = positionals
  if (domain === undefined || more.length > 0) throw usageError('expected one domain')
  const given = (source: string, text: string) => ({ from: 'flag', source, text }) as const
  const { sides, 's2s-from': s2sFrom, timeout = DEFAULT_TIMEOUT } = values
  return {
    domain: parseCheckedDomain(domain),
    isJson: values.json ?? false,
    isVerbose: values.verbose ?? false,
    sides: sides === undefined ? SIDES : parseSides(sides),
    nameServers: splitAtCommas(values['name-server']).map((text) =>
      parseNameServer(given('--name-server', text)),
    ),
    allowPrivate: values['allow-private'] ?? false,
    s2sFrom: s2sFrom === undefined ? undefined : parseHostName(given('--s2s-from', s2sFrom)),
    timeoutMs: TIMEOUT.parse(given('--timeout', timeout)),
    checksWeb: !values['no-web'],
  }
}

function parse(args: readonly string[]) {
  // A flag can start with one dash, like the other flags of the exporter.
  const flags = args.map((arg) => (/^-[a-z]/i.test(arg) ? `-${arg}` : arg))
  try {
    return parseArgs({ args: flags, options: OPTIONS, strict: true, allowPositionals: true })
  } catch (error) {
    const [reason = ''] = (error as Error).message.split('. ')
    throw usageError(reason)
  }
}

function usageError(reason: string): ConfigError {
  return new ConfigError(`outside: ${reason}. See: prosody-exporter outside --help`)
}

/**
 * Parses the domain. An operator may paste a URL, a JID, or the address of a server. The message does not show a URL,
 * which can contain a password.
 */
function parseCheckedDomain(text: string): string {
  const fail = (got: string) =>
    new ConfigError(`outside: expected an XMPP domain, e.g. example.org, got ${got}`)
  if (/^[a-z][a-z\d+.-]*:\/\//i.test(text)) throw fail('a URL')
  if (isIP(text.replace(/^\[|\]$/g, '')) !== 0) throw fail('an IP address')
  if (/[@/]/.test(text)) throw fail('a JID. Use only its domain, the part after the @')
  if (/:\d+$/.test(text)) throw fail('a port too. The ports are in the SRV records of the domain')
  try {
    return parseHostName({ from: 'flag', source: 'outside', text: text.replace(/\.$/, '') })
  } catch (error) {
    if (error instanceof ConfigError) throw fail(quote(text))
    throw error
  }
}

function parseSides(texts: readonly string[]): readonly Side[] {
  const sides = splitAtCommas(texts).map((text) => {
    const side = SIDES.find((each) => each === text)
    if (side !== undefined) return side
    throw new ConfigError(`--sides: expected client, server or both, got ${quote(text)}`)
  })
  if (sides.length === 0) throw new ConfigError('--sides: expected client, server or both')
  return SIDES.filter((side) => sides.includes(side))
}

function splitAtCommas(texts: readonly string[] = []): string[] {
  return texts
    .flatMap((text) => text.split(','))
    .map((text) => text.trim())
    .filter((text) => text !== '')
}
