/** What goes wrong: where, when, for how long. Named ones, and those that a seed makes. */

import type { Direction, Fault } from './proxy.js'
import { createRandom, type Random } from '../../support/random.js'

/** What begins at some moment and is over some time later. */
export type Trouble = {
  /** Between the exporter and Prosody, or between a scraper and the exporter. */
  readonly where: 'xmpp' | 'http'
  readonly fault: Fault
  readonly direction: Direction
  /**
   * Before the exporter dials; when it is at rest; when so many bytes of the next collection, or of
   * the next stream where it begins by losing that, have come from Prosody.
   */
  readonly when: 'dial' | 'rest' | { readonly afterBytes: number; readonly of: 'page' | 'stream' }
  readonly forMs: number
}

/** What is done to Prosody itself. */
export type Doing =
  'freeze' | 'kill' | 'restart' | 'reload module' | 'unload module' | 'change secret'

export type Scenario = {
  readonly name: string
  readonly seed: number
  /** Scrapers come by https. */
  readonly tls?: boolean
  readonly troubles: readonly Trouble[]
  readonly doing?: { readonly what: Doing; readonly forMs: number }
}

const BOTH = ['up', 'down'] as const

const named: Omit<Scenario, 'seed'>[] = []
function name(name: string, ...troubles: Trouble[]): void {
  named.push({ name, troubles })
}
/** The same for scrapers in the clear and over TLS. */
function nameOfScrapers(what: string, trouble: Omit<Trouble, 'where' | 'when'>): void {
  for (const tls of [false, true]) {
    const troubles = [{ ...trouble, where: 'http', when: 'rest' } as const]
    named.push({ name: tls ? `${what}, over TLS` : what, tls, troubles })
  }
}

for (const direction of BOTH) {
  const way = direction === 'up' ? 'to Prosody' : 'from Prosody'
  const onBytes: readonly (readonly [string, Fault])[] = [
    ['late by 300 ms', { kind: 'delay', ms: 300 }],
    ['one by one', { kind: 'split', bytes: 1 }],
    ['in sevens', { kind: 'split', bytes: 7 }],
    ['merged', { kind: 'merge', ms: 120 }],
    ['stalled', { kind: 'stall' }],
    ['lost', { kind: 'drop' }],
    ['corrupted', { kind: 'corrupt', every: 200 }],
    ['throttled', { kind: 'throttle', bytesPerSecond: 20_000 }],
  ]
  for (const [what, fault] of onBytes) {
    const common = { where: 'xmpp', fault, direction, forMs: 700 } as const
    name(`bytes ${way} ${what}, from the dialling on`, { ...common, when: 'dial' })
    name(`bytes ${way} ${what}, at rest`, { ...common, when: 'rest' })
    if (direction === 'down') {
      const of = 'page' as const
      name(`bytes ${way} ${what}, within a page`, { ...common, when: { afterBytes: 900, of } })
    }
  }
  const ends: readonly Fault['kind'][] = ['reset', 'close', 'half-close']
  for (const kind of ends as readonly ('reset' | 'close' | 'half-close')[]) {
    const common = { where: 'xmpp', fault: { kind }, direction, forMs: 50 } as const
    if (kind === 'half-close' || direction === 'up') {
      name(`a ${kind} ${way} at rest`, { ...common, when: 'rest' })
      name(`a ${kind} ${way} within a page`, {
        ...common,
        when: { afterBytes: 900, of: 'page' },
      })
      for (const afterBytes of [10, 200, 260, 400]) {
        name(`a ${kind} ${way} ${afterBytes} bytes into a new stream`, {
          ...common,
          when: { afterBytes, of: 'stream' },
        })
      }
    }
  }
  for (const [what, fault] of onBytes.filter(([what]) => what !== 'in sevens')) {
    nameOfScrapers(`bytes ${direction === 'up' ? 'of a scrape' : 'of an exposition'} ${what}`, {
      ...{ fault, direction, forMs: 500 },
    })
  }
}
for (const kind of ['refuse', 'silent', 'duplicate'] as const) {
  const common = { where: 'xmpp', fault: { kind }, direction: 'up', forMs: 1200 } as const
  name(`connections to Prosody: ${kind}, from the dialling on`, { ...common, when: 'dial' })
  name(
    `connections to Prosody: ${kind}, after a reset`,
    { ...common, when: 'rest' },
    { ...common, fault: { kind: 'reset' }, when: 'rest' },
  )
  nameOfScrapers(`connections of scrapers: ${kind}`, common)
}
for (const kind of ['reset', 'close', 'half-close'] as const) {
  nameOfScrapers(`connections of scrapers: ${kind}`, {
    ...{ fault: { kind }, direction: 'down', forMs: 50 },
  })
}
for (const [what, forMs] of [
  ['freeze', 1500],
  ['kill', 300],
  ['restart', 0],
  ['reload module', 0],
  ['unload module', 500],
  ['change secret', 1500],
] as const) {
  named.push({ name: `Prosody: ${what}`, troubles: [], doing: { what, forMs } })
  named.push({
    name: `Prosody: ${what}, while bytes from it come one by one`,
    troubles: [
      {
        ...{ where: 'xmpp', fault: { kind: 'split', bytes: 1 }, direction: 'down' },
        ...{ when: 'rest', forMs: forMs + 300 },
      },
    ],
    doing: { what, forMs },
  })
}

export const NAMED: readonly Scenario[] = named.map((each, seed) => ({ ...each, seed }))

/** One to three troubles, and seldom something done to Prosody. */
export function randomScenario(seed: number): Scenario {
  const random = createRandom(seed)
  const troubles = Array.from({ length: 1 + random.below(3) }, () => randomTrouble(random))
  const what = random.pick<Doing>(['freeze', 'kill', 'restart', 'reload module', 'change secret'])
  const forMs = random.below(800)
  const doing = random.below(12) === 0 && { doing: { what, forMs } }
  return {
    name: `seed ${seed}`,
    seed,
    troubles,
    tls: random.below(3) === 0,
    ...doing,
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
      'rest',
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
