import type { Schedule } from './schedule.js'
import type { Stream } from './stream.js'

/** A stream that owes an answer and delivers nothing for so long is asked for a sign of life. */
const PROBE_MS = 1000

export type SilenceOptions = {
  readonly schedule: Schedule
  /**
   * Asks for a sign of life.
   *
   * @returns An unguessable text that the answer to it holds.
   */
  readonly probe: () => string
}

type Watched = Pick<Stream, 'elements' | 'end'>

/**
 * Watches that a stream which owes an answer delivers something, and ends it otherwise.
 *
 * Patience alone would take as long as the busiest server is silent. So it is asked for a sign of life
 * each second. Two of them that arrived, and no element that was complete, are the end: bytes were lost
 * or changed, and all that comes is taken for a part of what they cut short. However slow the link, a
 * whole stream is never taken for that: the first answer has an end before the second has a beginning.
 */
export function createSilenceWatch({ schedule, probe }: SilenceOptions) {
  // Of the present stream, what to call off.
  const owed = new Set<() => void>()
  // Of the present silence: texts that are still to come, how many came, and the end of what came.
  let awaited: string[] = []
  let heard = 0
  let tail = ''
  let before = 0
  let cancelTick = () => {}

  function forgetProbes(): void {
    awaited = []
    heard = 0
    tail = ''
  }

  function listen(stream: Watched): void {
    forgetProbes()
    before = stream.elements()
  }

  function tick(stream: Watched): void {
    cancelTick = schedule(PROBE_MS, () => {
      if (stream.elements() === before) awaited.push(probe())
      else listen(stream)
      tick(stream)
    })
  }

  function stop(): void {
    for (const forget of [...owed]) forget()
    forgetProbes()
  }

  function end(stream: Watched, condition: string): void {
    stop()
    stream.end('timeout', condition)
  }

  return {
    /**
     * @param endMs A stream that delivers nothing for so long is dead.
     * @returns To call when the answer has come.
     */
    watch(stream: Watched, endMs: number): () => void {
      const atFirst = stream.elements()
      const cancelEnd = schedule(endMs, () => {
        forget()
        if (stream.elements() === atFirst) end(stream, 'reply')
      })
      function forget(): void {
        owed.delete(forget)
        cancelEnd()
        if (owed.size === 0) cancelTick()
      }
      if (owed.size === 0) {
        listen(stream)
        tick(stream)
      }
      owed.add(forget)
      return forget
    },
    /** Bytes arrived, and the elements that they complete are counted. */
    hear(stream: Watched, chunk: Buffer): void {
      if (awaited.length === 0) return
      if (stream.elements() !== before) {
        listen(stream)
        return
      }
      const text = tail + chunk.toString('latin1')
      const missing = awaited.filter((each) => !text.includes(each))
      heard += awaited.length - missing.length
      awaited = missing
      tail = text.slice(-64)
      if (heard >= 2) end(stream, 'lost')
    },
    stop,
  }
}
