import type { Schedule } from './schedule.js'
import type { Stream } from './stream.js'

/** A stream that owes an answer and is silent for so long is asked whether it is whole. */
const PROBE_MS = 1000

/** Watches that streams which owe an answer deliver something. */
export function createSilenceWatch(schedule: Schedule) {
  // Of the present stream, those that are still to come.
  const checks = new Set<() => void>()

  return {
    /**
     * Ends a stream that delivers nothing for so long: it is dead, or cut in the middle of a stanza.
     *
     * @param probe Asks it for a sign of life, before that.
     * @returns To call when the answer has come.
     */
    watch(stream: Pick<Stream, 'elements' | 'end'>, endMs: number, probe: () => void): () => void {
      const before = stream.elements()
      const isSilent = () => stream.elements() === before
      const cancelProbe = schedule(PROBE_MS, () => {
        if (isSilent()) probe()
      })
      const cancelEnd = schedule(endMs, () => {
        checks.delete(forget)
        if (isSilent()) stream.end('timeout', 'reply')
      })
      function forget(): void {
        checks.delete(forget)
        cancelProbe()
        cancelEnd()
      }
      checks.add(forget)
      return forget
    },
    stop(): void {
      for (const forget of checks) forget()
    },
  }
}
