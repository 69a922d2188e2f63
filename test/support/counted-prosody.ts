/** A Prosody whose additional metrics of mod_adhoc_statistics a test reads. */

import type { TestContext } from 'node:test'
import { isServerFamily, readExposition, readServer, seriesOf, type Family } from './compare.js'
import { withExporterFor } from './exporter.js'
import {
  legacyVersion,
  withProsody,
  type ProsodyConfig,
  type ProsodyVersion,
  type TestProsody,
} from './prosody.js'
import { evalLua, untilUp } from './real.js'

/** The password of the accounts that a counted Prosody has: a, b and offline at one.example, and c at two.example. */
export const PASSWORD = 'pw'
/** The domains of the components with mod_adhoc_statistics. */
export const [FIRST, SECOND] = ['stats.one.example', 'stats.two.example']
const USERS = ['a@one.example', 'b@one.example', 'offline@one.example', 'c@two.example']

export type Counts = Readonly<Record<string, number>>

/** Returns whether a version of Prosody has mod_smacks. It was added in Prosody 0.12. */
export const hasSmacks = (version: ProsodyVersion) => version !== legacyVersion

export type CountedProsody = TestProsody & {
  /** Collects the statistics of Prosody, and returns the metric families. */
  families(): Promise<Family[]>
}

export async function startCountedProsody(
  t: TestContext,
  version: ProsodyVersion,
  config: ProsodyConfig = {},
): Promise<CountedProsody> {
  const isLegacy = version === legacyVersion
  const prosody = await withProsody(t, {
    version,
    users: Object.fromEntries(USERS.map((jid) => [jid, PASSWORD])),
    ...config,
    modules: [
      ...(config.modules ?? [
        'mam',
        'carbons',
        'test_dns',
        ...(hasSmacks(version) ? ['smacks'] : []),
      ]),
      ...['test_eval', ...(isLegacy ? ['test_legacy'] : [])],
    ],
    globals: {
      muc_room_locking: 'false',
      // With this long interval, Prosody 0.11 collects once when it starts, and then only when the test requests it.
      ...(isLegacy && { statistics_interval: '3600' }),
      ...config.globals,
    },
  })
  // Prosody 0.11 has no mod_http_openmetrics, so the test reads the families through an exporter.
  const exporter = isLegacy
    ? await withExporterFor(t, prosody, { env: { PROSODY_EXPORTER_COLLECTION_MIN_AGE: '0s' } })
    : undefined
  return {
    ...prosody,
    async families() {
      if (!exporter) return await readServer(prosody)
      await evalLua(prosody, 'prosody.test_legacy.collect()')
      return readExposition(await untilUp(exporter), 'text').filter(isServerFamily)
    },
  }
}

/** Returns the values of a family. A key has the label values of a series, for example `one.example client iq`. */
export async function readCounts(prosody: CountedProsody, family: string): Promise<Counts> {
  const families = await prosody.families()
  seriesOf(families)
  const found = families.find(({ name }) => name === family)
  return Object.fromEntries(
    (found?.samples ?? [])
      .filter(({ name }) => name === family || name === `${family}_total`)
      .map(({ labels, value }) => [Object.values(labels).join(' '), value]),
  )
}

export const nonZero = (counts: Counts) =>
  Object.fromEntries(Object.entries(counts).filter(([, value]) => value !== 0))

/** Reloads, unloads and loads mod_adhoc_statistics on both components, in different orders. */
export async function reloadAll(prosody: TestProsody): Promise<void> {
  await evalLua(
    prosody,
    `local mm = require "core.modulemanager"
    assert(mm.reload("${FIRST}", "adhoc_statistics"))
    assert(mm.unload("${SECOND}", "adhoc_statistics"))
    assert(mm.load("${SECOND}", "adhoc_statistics"))
    assert(mm.unload("${SECOND}", "adhoc_statistics"))
    assert(mm.unload("${FIRST}", "adhoc_statistics"))
    assert(mm.load("${FIRST}", "adhoc_statistics"))
    assert(mm.load("${SECOND}", "adhoc_statistics"))
    assert(mm.reload("${FIRST}", "adhoc_statistics"))`,
  )
}
