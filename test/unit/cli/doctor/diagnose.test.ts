import assert from 'node:assert/strict'
import { test } from 'node:test'
import { diagnose } from '../../../../src/cli/doctor/diagnose.js'
import type { StreamEnd } from '../../../../src/xmpp/stream-end.js'

type Server = NonNullable<Parameters<typeof diagnose>[0]>

/** A server whose exporter was evicted twice by another program, and then lost its stream for another reason or not. */
function createServer(end: StreamEnd, problem: string): Server {
  const [service, domain] = ['xmpp://127.0.0.1:1', 'stats.example']
  const connection = {
    domain,
    evictions: () => 2,
    isConnected: () => false,
    lastEnd: () => end,
    problem: () => problem,
  }
  return {
    config: { xmpp: { service, domain, secret: 'xyzzy' } },
    connection,
    advice: () => [],
  } as unknown as Server
}

const details = { version: '1', pid: 1, isShared: false, url: undefined }

test('after the stop of Prosody, doctor does not blame the second exporter of some minutes ago', async () => {
  const end: StreamEnd = { kind: 'network', condition: 'ECONNREFUSED', text: '' }
  const { findings } = await diagnose(createServer(end, 'Prosody stopped.'), details)
  assert.deepEqual(findings, [{ step: 'connection', result: 'failed', text: 'Prosody stopped.' }])
})

test('while another program has the component, doctor blames it', async () => {
  const end: StreamEnd = { kind: 'refused', condition: 'conflict', text: '' }
  const { findings } = await diagnose(createServer(end, 'Another program.'), details)
  assert.equal(findings.length, 1)
  assert.match(findings[0]!.text, /logged in as component "stats\.example" 2 times in five minutes/)
})
