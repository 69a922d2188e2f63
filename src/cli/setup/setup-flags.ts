import { parseArgs } from 'node:util'
import { ConfigError } from '../../errors.js'
import { parseBareJid } from '../../config/messaging-values.js'
import { parseComponentDomain } from '../../config/xmpp-address.js'

export type SetupFlags = {
  /** The domain of the component, if it was given. */
  readonly domain: string | undefined
  /** Bare JIDs of people and rooms to which the exporter sends alerts. */
  readonly alerts: readonly string[]
  readonly yes: boolean
  readonly restart: boolean
  readonly dryRun: boolean
  readonly undo: boolean
}

const OPTIONS = {
  domain: { type: 'string' },
  alerts: { type: 'string', multiple: true },
  yes: { type: 'boolean' },
  restart: { type: 'boolean' },
  'dry-run': { type: 'boolean' },
  undo: { type: 'boolean' },
} as const

/** Parses the flags of `prosody-exporter setup`. @throws ConfigError */
export function parseSetupFlags(args: readonly string[]): SetupFlags {
  // A flag can start with one dash, like the other flags of the exporter.
  const flags = args.map((arg) => (/^-[a-z]/i.test(arg) ? `-${arg}` : arg))
  let values
  try {
    values = parseArgs({ args: flags, options: OPTIONS, strict: true }).values
  } catch (error) {
    const [reason = ''] = (error as Error).message.split('. ')
    throw new ConfigError(`setup: ${reason}. See: prosody-exporter setup --help`)
  }
  const { domain, yes = false, restart = false, 'dry-run': dryRun = false, undo = false } = values
  if (undo && (domain !== undefined || values.alerts !== undefined)) {
    const other = domain === undefined ? '--alerts' : '--domain'
    throw new ConfigError(`setup: --undo removes everything, so it cannot be used with ${other}`)
  }
  const given = { from: 'flag', source: '--domain', text: domain ?? '' } as const
  const parsed = domain === undefined ? undefined : parseComponentDomain(given)
  return { domain: parsed, alerts: parseAlerts(values.alerts), yes, restart, dryRun, undo }
}

/** @throws ConfigError */
function parseAlerts(texts: readonly string[] = []): string[] {
  const jids = texts.flatMap((text) => text.split(','))
  const parse = (text: string) =>
    parseBareJid({ from: 'flag', source: '--alerts', text: text.trim() })
  return [...new Set(jids.map(parse))]
}
