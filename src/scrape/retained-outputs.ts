import { hasAnswered } from '../collectors/failure.js'
import type { CollectorOutput, CollectorResult } from './collector-result.js'

/** Stores the last output of each collector. While the server does not answer, the exporter serves these outputs. */
export function createRetainedOutputs(maxAgeMs: number, now: () => number) {
  const outputs = new Map<string, CollectorOutput>()
  // Identifies the stream on which the outputs arrived: the value of `LinkState.connects` at that time.
  let stream: number | undefined

  return {
    /**
     * Removes the outputs that arrived on an earlier stream. The server may have restarted since, and a snapshot must
     * not contain series from before and after a restart.
     */
    forgetOtherStreams(connects: number): void {
      if (connects !== stream) outputs.clear()
      stream = connects
    },

    /**
     * Returns the output of this result. If it has none and the server did not answer, returns the stored output,
     * unless that is too old.
     */
    findOutput({ name, output, error }: CollectorResult): CollectorOutput | undefined {
      if (output) {
        if (maxAgeMs > 0) outputs.set(name, output)
        return output
      }
      const retained = outputs.get(name)
      // If the server answered with an error, the stored output is outdated and is not served.
      if (!retained || hasAnswered(error) || now() - retained.endedAtMs > maxAgeMs) return undefined
      return retained
    },
  }
}
