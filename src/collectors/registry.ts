import { setTimeout as sleep } from 'node:timers/promises'
import { DecodeError, NotHandledError, StanzaError, TimeoutError } from '../errors.js'
import { family } from '../metrics/family.js'
import { runCommand } from '../xmpp/command.js'
import type { Connection } from '../xmpp/connection.js'
import { submitForm } from '../xmpp/data-form.js'
import type { Collector } from './collector.js'
import { CollectorError } from './failure.js'
import { countMismatches } from './registry-audit.js'
import { createRegistryTables, type RegistryFilter, type RegistryTables } from './registry-lines.js'

/** Command node and payload namespace of mod_adhoc_statistics. */
export const REGISTRY_NODE = 'urn:prosody-exporter:statistics:1'

/** What is known of the server's registry, from one epoch of it. */
type Registry = {
  readonly epoch: string
  readonly tables: RegistryTables
  /** Ranges of ids that cover the registry, each with the change number at which it was last read. */
  readonly ranges: Range[]
  updatedSeconds: number
}

type Range = { readonly first: number; last: number | undefined; since: number }

type Page = {
  readonly epoch: string
  readonly change: number
  readonly size: number
  readonly last: number
  readonly updatedSeconds: number
  readonly lines: readonly string[]
}

export type RegistryOptions = {
  readonly filter?: RegistryFilter
  /** One range of ids is audited in so many collections. Default: 20. */
  readonly auditEvery?: number
  /** Each time that our own domain turns out to be without the module. */
  readonly onMissing?: () => void
  /** Monotonic milliseconds. */
  readonly now?: () => number
}

/**
 * Prosody's whole statistics registry, from the companion module's command on our own domain.
 *
 * A run asks each range of ids what changed since it was last read. A lost answer costs nothing,
 * because the server keeps no state for us: the range is asked again with the same number.
 */
export function createRegistryCollector(
  connection: Pick<Connection, 'request' | 'domain'>,
  options: RegistryOptions = {},
): Collector {
  const { filter, auditEvery = 20, onMissing, now = () => performance.now() } = options
  let registry: Registry | undefined
  let collections = 0
  let audits = 0
  let mismatches = 0

  async function readPage(range: Range, timeoutMs: number): Promise<Page> {
    const form = submitForm(REGISTRY_NODE, {
      ...(registry && { epoch: registry.epoch }),
      first: String(range.first),
      ...(range.last !== undefined && { last: String(range.last) }),
      since: String(range.since),
    })
    const { element } = await runCommand(connection, REGISTRY_NODE, { form, timeoutMs })
    const payload = element.getChild('statistics', REGISTRY_NODE)
    if (!payload) throw new DecodeError('statistics', `a payload of ${REGISTRY_NODE}`, 'none')
    return {
      epoch: Buffer.from(text(payload.attrs, 'epoch')).toString(),
      change: whole(payload.attrs, 'change'),
      size: whole(payload.attrs, 'size'),
      last: whole(payload.attrs, 'last'),
      updatedSeconds: Number(payload.attrs['updated'] ?? NaN),
      lines: payload.getChildren('lines').map((lines) => lines.text()),
    }
  }

  /** @returns false when the server's registry became another one in the middle. */
  async function run(deadline: number): Promise<boolean> {
    for (let i = 0; ; i++) {
      const range = registry?.ranges[i] ?? { first: 1, last: undefined, since: 0 }
      const leftMs = deadline - now()
      const page = await readPage(range, Math.max(leftMs, 1)).catch((error: unknown) => {
        // Time ran out while the server was answering, page after page: it is there.
        if (error instanceof TimeoutError && i > 0 && leftMs < 1000) throw tooSlow(range.first - 1)
        throw error
      })
      if (page.epoch !== registry?.epoch) {
        registry = undefined
        // A new epoch's first page is complete as it is; any other was asked for in vain.
        if (i > 0) return false
        registry = {
          epoch: page.epoch,
          tables: createRegistryTables(filter),
          ranges: [{ first: 1, last: undefined, since: 0 }],
          updatedSeconds: NaN,
        }
      }
      if (i === 0) registry.updatedSeconds = page.updatedSeconds
      if (apply(registry, i, page)) return true
    }
  }

  /** @returns whether this was the last page. */
  function apply({ ranges, tables }: Registry, i: number, page: Page): boolean {
    const range = ranges[i]!
    const asked = range.last ?? page.size
    if (page.last > asked || (page.last < range.first && range.first <= page.size)) {
      throw new DecodeError(
        'statistics',
        `the last id from ${range.first} to ${asked}`,
        `${page.last}`,
      )
    }
    for (const lines of page.lines) tables.apply(lines, range.first, page.last)
    tables.settle()
    if (page.last < asked) {
      // The module ended the page here; from now on this is where the range ends.
      ranges.splice(i + 1, 0, { first: page.last + 1, last: range.last, since: range.since })
      range.last = page.last
    }
    range.since = page.change
    return ranges.length === i + 1
  }

  /**
   * Reads one range from nothing, each time another one, and compares it with what is kept: a check
   * on the whole exchange while it runs.
   */
  async function audit(current: Registry, deadline: number): Promise<void> {
    const i = audits++ % current.ranges.length
    const range = current.ranges[i]!
    const full = await readPage({ ...range, since: 0 }, deadline - now())
    const since = await readPage(range, deadline - now())
    if (full.epoch !== current.epoch || since.epoch !== current.epoch) return
    apply(current, i, since)
    const count = countMismatches(current.tables, range.first, full, since, filter)
    mismatches += count
    if (count > 0) {
      throw new DecodeError('audit', 'what a full reading tells', `${count} series that differ`)
    }
  }

  return {
    name: 'registry',

    async collect({ timeoutMs }) {
      const deadline = now() + timeoutMs
      try {
        // Once more when the registry changed under us: a run never mixes two epochs.
        for (let tries = 0; !(await run(deadline)); tries++) {
          if (tries === 3) {
            throw new DecodeError('statistics', 'one epoch for a whole run', 'a new one each time')
          }
          await sleep(0)
        }
        const isTime = ++collections % auditEvery === 0 && deadline - now() > timeoutMs / 2
        if (isTime && registry) await audit(registry, deadline)
      } catch (error) {
        // What was read may be half of it: begin with an empty store next time.
        if (error instanceof DecodeError) registry = undefined
        if (error instanceof NotHandledError) onMissing?.()
        throw withAdvice(error, connection.domain)
      }
      const { tables, updatedSeconds } = registry!
      return {
        families: Array.from(tables.tables(), (table) => table.snapshot()),
        about: [
          ...(Number.isNaN(updatedSeconds) ? [] : [updatedFamily(updatedSeconds)]),
          mismatchesFamily(mismatches),
        ],
        invalid: tables.invalid(),
      }
    },
  }
}

function updatedFamily(seconds: number) {
  return family(
    'gauge',
    'prosody_exporter_registry_updated_timestamp_seconds',
    'When Prosody last collected its statistics, by its own clock; counters that modules increment are newer.',
    [{ value: seconds }],
  )
}

function mismatchesFamily(count: number) {
  return family(
    'counter',
    'prosody_exporter_audit_mismatches',
    'Series of which a full reading, made now and then for comparison, told something else than what was kept.',
    [{ value: count }],
  )
}

function text(attrs: Readonly<Record<string, string>>, name: string): string {
  const value = attrs[name]
  if (!value) throw new DecodeError('statistics', `an attribute ${name}`, 'none')
  return value
}

function whole(attrs: Readonly<Record<string, string>>, name: string): number {
  const value = text(attrs, name)
  if (!/^\d{1,15}$/.test(value))
    throw new DecodeError(`statistics ${name}`, 'a whole number', value)
  return Number(value)
}

function tooSlow(series: number): CollectorError {
  return new CollectorError(
    'timeout',
    `more than ${series} series could not be read within the collection's time-out; what was read is kept, and the next collection is quicker`,
  )
}

/** The same failure with what to change and where, if somebody can. */
function withAdvice(error: unknown, domain: string): unknown {
  if (error instanceof NotHandledError) {
    return new CollectorError(
      'not_found',
      `mod_adhoc_statistics is not loaded for the component: in prosody.cfg.lua, in the section Component "${domain}", ` +
        'set modules_enabled = { "adhoc_statistics" } and have the module in one of plugin_paths, then restart Prosody; ' +
        'or do without it, with --no-collector.registry',
      { cause: error },
    )
  }
  if (!(error instanceof StanzaError)) return error
  if (error.condition === 'forbidden') {
    return new CollectorError(
      'forbidden',
      `Prosody does not let ${domain} read statistics (${error.text}): mod_adhoc_statistics itself allows its component, ` +
        'so another module of modules_enabled in prosody.cfg.lua forbids it',
      { cause: error },
    )
  }
  return new CollectorError('refused', `Prosody refused to give statistics: ${error.message}`, {
    cause: error,
  })
}
