/** Judges the series of `mod_test_faults` in an exposition. */

import assert from 'node:assert/strict'
import { sampleValue } from '../../support/real.js'

export const SERIES = 3000

export type Verdict = {
  readonly up: boolean
  /** Whether the exporter read the registry, with all series. */
  readonly isRead: boolean
  readonly epoch: number | undefined
  readonly step: number | undefined
}

/**
 * Throws unless the exposition has either no series of the server, or all series of one collection in one
 * epoch. An epoch is one instance of Prosody.
 *
 * @param isTrue Whether values can be trusted; false when the proxy corrupted XMPP bytes.
 */
export function judge(text: string, isTrue: boolean): Verdict {
  const up = sampleValue(text, 'xmpp_up')
  assert.ok(up === 0 || up === 1, `xmpp_up ${up}`)
  const success = sampleValue(text, 'prosody_exporter_collector_success{collector="registry"}')
  assert.ok(success === 0 || (success === 1 && up === 1), `success ${success} and xmpp_up ${up}`)
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
    assert.equal(value, expected, `series ${shard} at step ${step} of epoch ${epoch}`)
  }
  return { up: true, isRead: true, epoch, step }
}
