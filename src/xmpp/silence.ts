import type { Schedule } from './schedule.js'
import type { Stream } from './stream.js'

// The interval at which the exporter sends probes while a request waits for its reply and no element arrives.
const PROBE_MS = 1000

export type SilenceOptions = {
  readonly schedule: Schedule
  /**
   * Sends a probe: a small request to the server.
   *
   * @returns The unguessable id of the probe. The reply to the probe contains this id.
   */
  readonly probe: () => string
}

type Watched = Pick<Stream, 'elements' | 'end'>

/**
 * Ends a stream that delivers no element although a request waits for its reply.
 *
 * A time limit alone would have to be as long as the longest pause of a busy server. Therefore, the exporter also sends
 * a probe each second. If the ids of two probes arrive, but the parser reports no complete element, the stream ends:
 * data was lost or corrupted, and the parser takes the replies for a part of an incomplete stanza. An intact stream
 * cannot deliver two ids without an element, even if it is slow, because the first reply is complete before the second
 * one begins.
 */
export function createSilenceWatch({ schedule, probe }: SilenceOptions) {
  // One function for each reply that the current stream still owes. The function stops the wait for this reply.
  const owed = new Set<() => void>()
  // The ids of probes that were sent after the last complete element, and that have not been received.
  let missingIds: string[] = []
  // The number of ids of probes that were received after the last complete element.
  let receivedIds = 0
  // The last 64 characters that were received: a part of an id can be at their end.
  let tail = ''
  // The number of complete elements when the state above was reset.
  let elementsAtReset = 0
  let cancelTick = () => {}

  function forgetProbes(): void {
    missingIds = []
    receivedIds = 0
    tail = ''
  }

  function listen(stream: Watched): void {
    forgetProbes()
    elementsAtReset = stream.elements()
  }

  function tick(stream: Watched): void {
    cancelTick = schedule(PROBE_MS, () => {
      if (stream.elements() === elementsAtReset) missingIds.push(probe())
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
     * Watches the stream while a request waits for its reply.
     *
     * @param endMs If the stream delivers no element in this many milliseconds from now on, it ends.
     * @returns A function that stops the watch. Call it when the reply has arrived.
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
    /** Looks for ids of probes in a chunk of data. Call it after the complete elements of the chunk are counted. */
    hear(stream: Watched, chunk: Buffer): void {
      if (missingIds.length === 0) return
      if (stream.elements() !== elementsAtReset) {
        listen(stream)
        return
      }
      const text = tail + chunk.toString('latin1')
      const missing = missingIds.filter((each) => !text.includes(each))
      receivedIds += missingIds.length - missing.length
      missingIds = missing
      tail = text.slice(-64)
      if (receivedIds >= 2) end(stream, 'lost')
    },
    stop,
  }
}
