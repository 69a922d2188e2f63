/**
 * The scenarios of the fault tests: which faults occur, where, when, and for how long. Some scenarios are written
 * here and have a name. The others are random, and a seed reproduces each of them.
 */

import { createRandom, type Random } from '../../support/random.js'
import type { Direction, Fault } from './fault.js'

/** A fault with its start and its duration. */
export type Trouble = {
  /** `xmpp`: between the exporter and Prosody. `http`: between a scraper and the exporter. */
  readonly where: 'xmpp' | 'http'
  readonly fault: Fault
  readonly direction: Direction
  /**
   * When the fault begins. `dial`: before the exporter connects. `idle`: after the first complete scrape. `page`:
   * after Prosody has sent `afterBytes` bytes of the next collection. `stream`: the proxy first resets the current
   * stream, and the fault begins after Prosody has sent `afterBytes` bytes of the next stream.
   */
  readonly when: 'dial' | 'idle' | { readonly afterBytes: number; readonly of: 'page' | 'stream' }
  readonly forMs: number
}

/** A change of the Prosody process or of its configuration. */
export type ProsodyChange =
  'freeze' | 'kill' | 'restart' | 'reload module' | 'unload module' | 'change secret'

export type Scenario = {
  readonly name: string
  readonly seed: number
  /** Whether the exporter serves HTTPS. */
  readonly tls?: boolean
  readonly troubles: readonly Trouble[]
  readonly prosodyChange?: { readonly kind: ProsodyChange; readonly forMs: number }
}

const BOTH = ['up', 'down'] as const

const named: Omit<Scenario, 'seed'>[] = []
function addNamed(name: string, ...troubles: Trouble[]): void {
  named.push({ name, troubles })
}
/** Adds two scenarios with the same fault between a scraper and the exporter: one with HTTP and one with HTTPS. */
function addNamedForScrapers(what: string, trouble: Omit<Trouble, 'where' | 'when'>): void {
  for (const tls of [false, true]) {
    const troubles = [{ ...trouble, where: 'http', when: 'idle' } as const]
    named.push({ name: tls ? `${what}, over TLS` : what, tls, troubles })
  }
}

for (const direction of BOTH) {
  const path = direction === 'up' ? 'to Prosody' : 'from Prosody'
  const byteFaults: readonly (readonly [string, Fault])[] = [
    ['delayed by 300 ms', { kind: 'delay', ms: 300 }],
    ['sent one by one', { kind: 'split', bytes: 1 }],
    ['sent in pieces of seven', { kind: 'split', bytes: 7 }],
    ['merged', { kind: 'merge', ms: 120 }],
    ['stalled', { kind: 'stall' }],
    ['lost', { kind: 'drop' }],
    ['corrupted', { kind: 'corrupt', every: 200 }],
    ['throttled', { kind: 'throttle', bytesPerSecond: 20_000 }],
  ]
  for (const [what, fault] of byteFaults) {
    const common = { where: 'xmpp', fault, direction, forMs: 700 } as const
    addNamed(`bytes ${path} ${what}, from the first connection on`, { ...common, when: 'dial' })
    addNamed(`bytes ${path} ${what}, while idle`, { ...common, when: 'idle' })
    if (direction === 'down') {
      const of = 'page' as const
      addNamed(`bytes ${path} ${what}, within a page`, { ...common, when: { afterBytes: 900, of } })
    }
  }
  const ends: readonly Fault['kind'][] = ['reset', 'close', 'half-close']
  for (const kind of ends as readonly ('reset' | 'close' | 'half-close')[]) {
    const common = { where: 'xmpp', fault: { kind }, direction, forMs: 50 } as const
    if (kind === 'half-close' || direction === 'up') {
      addNamed(`a ${kind} ${path} while idle`, { ...common, when: 'idle' })
      addNamed(`a ${kind} ${path} within a page`, {
        ...common,
        when: { afterBytes: 900, of: 'page' },
      })
      for (const afterBytes of [10, 200, 260, 400]) {
        addNamed(`a ${kind} ${path} ${afterBytes} bytes into a new stream`, {
          ...common,
          when: { afterBytes, of: 'stream' },
        })
      }
    }
  }
  for (const [what, fault] of byteFaults.filter(([what]) => what !== 'sent in pieces of seven')) {
    addNamedForScrapers(
      `bytes ${direction === 'up' ? 'of a scrape' : 'of an exposition'} ${what}`,
      {
        ...{ fault, direction, forMs: 500 },
      },
    )
  }
}
for (const kind of ['refuse', 'silent', 'duplicate'] as const) {
  const common = { where: 'xmpp', fault: { kind }, direction: 'up', forMs: 1200 } as const
  addNamed(`connections to Prosody: ${kind}, from the first connection on`, {
    ...common,
    when: 'dial',
  })
  addNamed(
    `connections to Prosody: ${kind}, after a reset`,
    { ...common, when: 'idle' },
    { ...common, fault: { kind: 'reset' }, when: 'idle' },
  )
  addNamedForScrapers(`connections of scrapers: ${kind}`, common)
}
for (const kind of ['reset', 'close', 'half-close'] as const) {
  addNamedForScrapers(`connections of scrapers: ${kind}`, {
    ...{ fault: { kind }, direction: 'down', forMs: 50 },
  })
}
for (const [kind, forMs] of [
  ['freeze', 1500],
  ['kill', 300],
  ['restart', 0],
  ['reload module', 0],
  ['unload module', 500],
  ['change secret', 1500],
] as const) {
  named.push({ name: `Prosody: ${kind}`, troubles: [], prosodyChange: { kind, forMs } })
  named.push({
    name: `Prosody: ${kind}, while its bytes arrive one by one`,
    troubles: [
      {
        ...{ where: 'xmpp', fault: { kind: 'split', bytes: 1 }, direction: 'down' },
        ...{ when: 'idle', forMs: forMs + 300 },
      },
    ],
    prosodyChange: { kind, forMs },
  })
}

export const NAMED: readonly Scenario[] = named.map((each, seed) => ({ ...each, seed }))

/** Creates a scenario with one to three random faults. About one in twelve scenarios also has a change of Prosody. */
export function randomScenario(seed: number): Scenario {
  const random = createRandom(seed)
  const troubles = Array.from({ length: 1 + random.below(3) }, () => randomTrouble(random))
  const kind = random.pick<ProsodyChange>([
    'freeze',
    'kill',
    'restart',
    'reload module',
    'change secret',
  ])
  const forMs = random.below(800)
  const change = random.below(12) === 0 && { prosodyChange: { kind, forMs } }
  return {
    name: `seed ${seed}`,
    seed,
    troubles,
    tls: random.below(3) === 0,
    ...change,
  }
}

function randomTrouble(random: Random): Trouble {
  const afterBytes = random.below(random.pick([300, 3000, 60_000]))
  return {
    where: random.below(5) === 0 ? 'http' : 'xmpp',
    fault: randomFault(random),
    direction: random.pick(BOTH),
    when: random.pick([
      'dial',
      'idle',
      { afterBytes, of: 'page' },
      { afterBytes: afterBytes % 500, of: 'stream' },
    ] as const),
    forMs: random.below(900),
  }
}

function randomFault(random: Random): Fault {
  return random.pick<() => Fault>([
    () => ({ kind: 'delay', ms: random.below(500) }),
    () => ({ kind: 'split', bytes: 1 + random.below(40) }),
    () => ({ kind: 'merge', ms: random.below(300) }),
    () => ({ kind: 'stall' }),
    () => ({ kind: 'drop' }),
    () => ({ kind: 'corrupt', every: 10 + random.below(2000) }),
    () => ({ kind: 'throttle', bytesPerSecond: 1000 + random.below(100_000) }),
    () => ({ kind: random.pick(['reset', 'close', 'half-close']) }),
    () => ({ kind: random.pick(['refuse', 'silent', 'duplicate']) }),
  ])()
}
