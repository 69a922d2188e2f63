/** Checks the series of the Prosody module `mod_test_faults` in an exposition. */

import assert from 'node:assert/strict'
import { sampleValue } from '../../support/real.js'

export const SERIES = 3000

export type Verdict = {
  readonly up: boolean
  /** Whether the exposition has the series of Prosody's statistics registry. */
  readonly isRead: boolean
  readonly epoch: number | undefined
  readonly step: number | undefined
}

/**
 * Checks an exposition, and throws if it is wrong. It must have no series of Prosody, or all series, and all values
 * must be of the same time. `epoch` identifies the Prosody process, and `step` counts its changes of the values.
 *
 * @param isTrue Whether the values must be right. They need not be if the proxy corrupted bytes from Prosody.
 */
export function judge(text: string, isTrue: boolean): Verdict {
  const up = sampleValue(text, 'xmpp_up')
  assert.ok(up === 0 || up === 1, `xmpp_up ${up}`)
  const success = sampleValue(text, 'prosody_exporter_collector_success{collector="registry"}')
  assert.ok(
    success === 0 || (success === 1 && up === 1),
    `prosody_exporter_collector_success is ${success} and xmpp_up is ${up}`,
  )
  const lines = text.split('\n').filter((line) => line.startsWith('test_faults_'))
  if (success === 0) {
    assert.equal(lines.length, 0, 'the exposition has series of a registry that was not read')
    return { up: up === 1, isRead: false, epoch: undefined, step: undefined }
  }
  if (!isTrue) return { up: true, isRead: true, epoch: undefined, step: undefined }
  assert.equal(lines.length, SERIES)
  const values = new Map(
    lines.map((line) => {
      const [, shard, value] = /^test_faults_\w+\{shard="(\d+)"\} (\d+)$/.exec(line) ?? []
      assert.ok(shard !== undefined, line)
      return [Number(shard), Number(value)] as const
    }),
  )
  assert.equal(values.size, SERIES)
  const latest = Math.max(...values.values())
  const [epoch, step] = [Math.floor(latest / 1_000_000), latest % 1_000_000]
  for (const [shard, value] of values) {
    const every = (shard % 5) + 1
    const expected = epoch * 1_000_000 + Math.floor(step / every) * every
    assert.equal(value, expected, `the value of series ${shard} at step ${step} of epoch ${epoch}`)
  }
  return { up: true, isRead: true, epoch, step }
}
