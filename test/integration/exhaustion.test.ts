import assert from 'node:assert/strict'
import { once } from 'node:events'
import { rename, writeFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { join } from 'node:path'
import { test } from 'node:test'
import { findFaketime } from '../support/setup/programs.js'
import { until } from '../support/setup/process.js'
import { httpGet, withExporterFor } from '../support/exporter.js'
import { withProsody } from '../support/prosody.js'
import { evalLua, logLines, sampleValue, serverSamples, untilUp } from '../support/real.js'

const NOW = { PROSODY_EXPORTER_COLLECTION_MIN_AGE: '0ms' }

test('the exporter continues to work when it cannot write its log, because the disk is full', async (t) => {
  const prosody = await withProsody(t, { version: '13.0.1' })
  const exporter = await withExporterFor(t, prosody, {
    flags: ['--log.level=debug'],
    env: NOW,
    script: 'exec "$@" >/dev/full 2>/dev/full',
  })
  await untilUp(exporter)
  // A restart of Prosody causes log messages, which the exporter cannot write.
  await prosody.restart()
  await untilUp(exporter)
  assert.equal(exporter.stderr(), '')
  assert.ok(exporter.running())
})

test('the exporter works when the clock is set back by an hour and then forward by a day', async (t) => {
  const prosody = await withProsody(t, { version: '13.0.1', modules: ['test_eval'] })
  const clock = join(prosody.dir, 'clock')
  const set = async (offset: string) => {
    await writeFile(`${clock}.new`, offset)
    await rename(`${clock}.new`, clock)
  }
  await set('+0')
  const exporter = await withExporterFor(t, prosody, {
    flags: ['--log.format=json', '--log.level=debug'],
    env: {
      ...NOW,
      LD_PRELOAD: await findFaketime(),
      FAKETIME_TIMESTAMP_FILE: clock,
      FAKETIME_NO_CACHE: '1',
      // When an administrator sets the clock, the kernel's monotonic clock stays the same. This setting of libfaketime
      // has the same effect.
      DONT_FAKE_MONOTONIC: '1',
    },
  })
  await evalLua(
    prosody,
    `steps = require "core.statsmanager".metric("counter", "test_steps", "", "Steps", {}):with_labels()`,
  )
  await untilUp(exporter)
  const connections = () =>
    logLines(exporter).filter(({ message }) => message.startsWith('connected to Prosody')).length
  const readClock = async () =>
    Date.parse((await exporter.get('/metrics')).headers['date'] as string)
  for (const [step, offset] of ['-1h', '+1d', '+0'].entries()) {
    await set(offset)
    const hours = { '-1h': -1, '+1d': 24, '+0': 0 }[offset]!
    // The test reads the clock of the exporter from the Date header, which Node.js caches for a second.
    await until(
      async () => Math.abs(Date.now() + hours * 3_600_000 - (await readClock())) < 60_000,
      {
        what: `the exporter's clock has the offset ${offset}`,
      },
    )
    await evalLua(prosody, 'steps:add(1)')
    const { text } = await exporter.get('/metrics')
    assert.equal(sampleValue(text, 'xmpp_up'), 1)
    assert.equal(sampleValue(text, 'test_steps_total'), step + 1)
  }
  assert.equal(connections(), 1, 'the exporter keeps its connection')
})

test('HTTP connections cannot use up the file descriptors that the exporter needs for Prosody and for a scrape', async (t) => {
  const prosody = await withProsody(t, { version: '13.0.1' })
  const exporter = await withExporterFor(t, prosody, {
    flags: ['--log.format=json'],
    env: NOW,
    script: 'ulimit -n 128; exec "$@"',
  })
  await untilUp(exporter)
  const sockets = Array.from({ length: 300 }, () => connect(exporter.port, '127.0.0.1'))
  t.after(() => {
    for (const socket of sockets) socket.destroy()
  })
  for (const socket of sockets) socket.on('error', () => undefined)
  await Promise.all(sockets.map((socket) => once(socket, 'connect')))
  // After a restart of Prosody, the exporter needs a file descriptor to reconnect.
  await prosody.restart()
  const text = await untilUp(exporter)
  assert.equal(sampleValue(text, 'prosody_exporter_process_max_fds'), 128)
  assert.ok(sampleValue(text, 'prosody_exporter_process_open_fds')! < 128)
  assert.ok(exporter.running())
})

test('with a small heap, the exporter serves 20,000 series to many clients at the same time', async (t) => {
  const prosody = await withProsody(t, {
    version: '13.0.1',
    modules: ['test_series'],
    globals: { test_series_count: '20000' },
  })
  const exporter = await withExporterFor(t, prosody, {
    env: { ...NOW, NODE_OPTIONS: '--max-old-space-size=48' },
  })
  await untilUp(exporter)
  for (let round = 0; round < 20; round++) {
    const answers = await Promise.all(
      Array.from({ length: 20 }, (_, i) =>
        httpGet(`${exporter.url}/metrics`, i % 2 === 0 ? {} : { 'Accept-Encoding': 'gzip' }),
      ),
    )
    for (const { status } of answers) assert.equal(status, 200)
    const [plain] = answers
    assert.ok(serverSamples(plain!.text).length >= 20_000)
  }
  assert.equal(sampleValue((await exporter.get('/metrics')).text, 'xmpp_up'), 1)
})
