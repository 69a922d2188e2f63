import { hasAnswered } from '../collectors/failure.js'
import type { CollectorOutput, CollectorResult } from './collector-result.js'

/** Stores the last output of each collector, to serve it while the server does not answer. */
export function createRetainedOutputs(maxAgeMs: number, now: () => number) {
  const outputs = new Map<string, CollectorOutput>()
  // The stream on which the outputs arrived: the value of `LinkState.connects` at that time.
  let stream: number | undefined

  return {
    /**
     * Forgets the outputs that arrived on another stream. They may be from a previous run of the server,
     * and series of two runs must not be in one snapshot.
     */
    forgetOtherStreams(connects: number): void {
      if (connects !== stream) outputs.clear()
      stream = connects
    },

    /** Returns the output of this result or, while the server does not answer, a retained one. */
    findOutput({ name, output, error }: CollectorResult): CollectorOutput | undefined {
      if (output) {
        if (maxAgeMs > 0) outputs.set(name, output)
        return output
      }
      const retained = outputs.get(name)
      // An error that the server sent is newer than the retained output.
      if (!retained || hasAnswered(error) || now() - retained.endedAtMs > maxAgeMs) return undefined
      return retained
    },
  }
}
