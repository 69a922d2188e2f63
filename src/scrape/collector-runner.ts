import type { Collector } from '../collectors/collector.js'
import { hasAnswered } from '../collectors/failure.js'
import { TimeoutError } from '../errors.js'
import type { CollectorResult } from './collector-result.js'
import { settleWithin } from './settle-within.js'

// A collector has to end within `timeoutMs`. After one more second, the runner stops waiting for the collector.
// Otherwise a collector that never ends would block all further collections.
const GRACE_MS = 1000

/** Runs collectors, and stores which collectors are idle. For an idle collector, the server has nothing to query. */
export function createCollectorRunner(timeoutMs: number, now: () => number) {
  // The names of the collectors that were idle when the server last answered.
  const idle = new Set<string>()

  async function collect(collector: Collector) {
    return await settleWithin(timeoutMs + GRACE_MS, collector.collect({ timeoutMs }), () => {
      throw new TimeoutError(`collector ${collector.name} did not end in ${timeoutMs} ms`)
    })
  }

  /** Runs one collector. An error of the collector becomes a part of the result, so the promise never rejects. */
  async function run(collector: Collector): Promise<CollectorResult> {
    const { name } = collector
    const startedAtMs = now()
    const startedAtSeconds = Date.now() / 1000
    const durationSeconds = () => (now() - startedAtMs) / 1000
    try {
      const collected = await collect(collector)
      const { failure: error, isIdle = false } = collected
      if (isIdle) idle.add(name)
      else idle.delete(name)
      const endedAtSeconds = Date.now() / 1000
      const output = { collected, startedAtSeconds, endedAtSeconds, endedAtMs: now() }
      return { name, output, error, isIdle, durationSeconds: durationSeconds() }
    } catch (error) {
      // While the server does not answer, a collector that was idle stays idle.
      if (hasAnswered(error)) idle.delete(name)
      return { name, error, isIdle: idle.has(name), durationSeconds: durationSeconds() }
    }
  }

  return {
    isIdle: (name: string) => idle.has(name),

    /**
     * Runs the collectors concurrently. Never rejects.
     *
     * @param resultsSoFar A map to which the result of each collector is added as soon as the collector ends.
     */
    runAll: (collectors: readonly Collector[], resultsSoFar: Map<string, CollectorResult>) =>
      Promise.all(
        collectors.map(async (collector) => {
          const result = await run(collector)
          resultsSoFar.set(collector.name, result)
          return result
        }),
      ),
  }
}
