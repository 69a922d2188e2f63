import type { Schedule } from './schedule.js'
import type { Stream } from './stream.js'

// While a stream owes a reply and no element arrives, the exporter sends a probe at this interval.
const PROBE_MS = 1000

export type SilenceOptions = {
  readonly schedule: Schedule
  /**
   * Sends a probe.
   *
   * @returns An unguessable text that its reply contains.
   */
  readonly probe: () => string
}

type Watched = Pick<Stream, 'elements' | 'end'>

/**
 * Ends a stream that owes a reply and delivers no element.
 *
 * A time limit alone would have to be as long as the longest pause of a busy server. Therefore, the exporter also sends
 * a probe each second. If the text of two replies to probes arrives, but no complete element, data was lost or
 * corrupted: the parser takes everything for a part of an incomplete stanza. This cannot happen on an intact stream,
 * however slow it is, because the first reply is complete before the second one begins.
 */
export function createSilenceWatch({ schedule, probe }: SilenceOptions) {
  // The functions that forget the replies that the current stream owes.
  const owed = new Set<() => void>()
  // Since the last complete element: the texts of probes without a reply, the number of replies, and the end of the data.
  let awaited: string[] = []
  let heard = 0
  let tail = ''
  // The number of elements at that time.
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
     * Watches the stream until a reply has arrived.
     *
     * @param endMs The stream ends if it delivers no element for this time.
     * @returns A function to call when the reply has arrived.
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
    /** Called with each chunk of data, after its complete elements are counted. */
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
