/**
 * The scenarios of the fault tests for alerts. In each scenario, one alert fires and is resolved, and outages happen
 * before, during and after its delivery. A seed reproduces each scenario.
 */

import { createRandom, type Random } from '../../support/random.js'

/**
 * How a connection fails. `lose`: what the client writes does not arrive, and later the connection is reset, as when a
 * network fails. The client learns only then that its data is lost.
 */
type ConnectionFault = 'reset' | 'close' | 'half-close' | 'refuse' | 'silent' | 'stall' | 'lose'

/** An outage of a connection or of a program. */
export type Outage = {
  /** How the outage begins. */
  readonly fault:
    | {
        /** `xmpp`: between the exporter and Prosody. `http`: between Alertmanager and the exporter. */
        readonly where: 'xmpp' | 'http'
        readonly how: ConnectionFault
      }
    | {
        readonly where: 'exporter' | 'prosody' | 'alertmanager'
        readonly how: 'kill' | 'restart' | 'freeze'
      }
  /**
   * When the outage begins. `before`: before Alertmanager sends the notification. `written`: when the exporter has written
   * to Prosody, and Prosody has answered, but the answer has not arrived. `answered`: when the exporter has answered
   * Alertmanager, but the answer has not arrived.
   */
  readonly when: 'before' | 'written' | 'answered' | { readonly afterMs: number }
  readonly forMs: number
}

export type AlertScenario = {
  readonly name: string
  readonly seed: number
  /**
   * The sender of the notifications: a real Alertmanager, or the test, which repeats a notification as Alertmanager
   * does, but earlier.
   */
  readonly sender: 'alertmanager' | 'test'
  /** The time after which the test ends a request without a response. */
  readonly requestTimeoutMs: number
  /** The outages around the notification that the alert fires. */
  readonly firing: readonly Outage[]
  /** The outages around the notification that the alert is resolved. */
  readonly resolved: readonly Outage[]
}

export const STATUSES = ['firing', 'resolved'] as const
export type Status = (typeof STATUSES)[number]

/** One of this many scenarios uses a real Alertmanager. */
const ALERTMANAGER_EVERY = 5

/** Creates a scenario with one to four random outages. */
export function randomAlertScenario(seed: number): AlertScenario {
  const random = createRandom(seed)
  const sender = seed % ALERTMANAGER_EVERY === 0 ? 'alertmanager' : 'test'
  const outages = (status: Status, count: number) =>
    Array.from({ length: count }, () => randomOutage(random, { sender, status }))
  return {
    name: `seed ${seed}`,
    seed,
    sender,
    requestTimeoutMs: random.pick([1000, 3000, 10_000]),
    firing: outages('firing', 1 + random.below(2)),
    resolved: outages('resolved', random.below(3)),
  }
}

function randomOutage(
  random: Random,
  { sender, status }: { sender: AlertScenario['sender']; status: Status },
): Outage {
  const fault = randomFault(random, { sender, status })
  const when = random.pick([
    ...(['before', 'written', 'written', 'answered'] as const),
    { afterMs: random.below(150) },
  ])
  // Only what is written during the fault `lose` is lost.
  return { fault, when: fault.how === 'lose' ? 'before' : when, forMs: randomDuration(random) }
}

/** Most outages are short. A few are longer than Alertmanager waits for a response, or than the exporter waits for a reply. */
function randomDuration(random: Random): number {
  const kind = random.below(40)
  if (kind === 0) return 25_000
  return kind < 4 ? 8000 : random.below(1500)
}

function randomFault(
  random: Random,
  { sender, status }: { sender: AlertScenario['sender']; status: Status },
): Outage['fault'] {
  const connection = () =>
    random.pick([
      ...(['reset', 'reset', 'close', 'half-close'] as const),
      ...(['refuse', 'silent', 'stall', 'lose', 'lose'] as const),
    ])
  const program = () => random.pick(['kill', 'restart', 'freeze'] as const)
  const faults: (() => Outage['fault'])[] = [
    () => ({ where: 'xmpp', how: connection() }),
    () => ({ where: 'http', how: connection() }),
    () => ({ where: 'exporter', how: program() }),
    () => ({ where: 'prosody', how: program() }),
  ]
  if (sender === 'alertmanager') {
    // A killed Alertmanager forgets which alerts it has sent. It sends no resolution of an alert that it has not sent.
    faults.push(() => ({
      where: 'alertmanager',
      how: status === 'firing' ? program() : random.pick(['restart', 'freeze']),
    }))
  }
  return random.pick(faults)()
}
