import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { LogLevel, LogOptions } from '../../../src/log/log.js'
import { createLogger } from '../../../src/log/logger.js'

function createRecorder(level: LogLevel, format: LogOptions['format']) {
  const lines: string[] = []
  return { log: createLogger({ level, format }, (line) => lines.push(line)), lines }
}

test('a line in logfmt has time, level, message and fields', () => {
  const { log, lines } = createRecorder('info', 'logfmt')
  log.info('listening', { address: 'http://[::1]:9347', port: 9347 })
  assert.equal(lines.length, 1)
  assert.match(
    lines[0]!,
    /^time=\S+Z level=INFO logger=prosody-exporter msg=listening address=http:\/\/\[::1\]:9347 port=9347\n$/,
  )
})

test('log levels in logfmt have the names that Prometheus 3 uses', () => {
  const { log, lines } = createRecorder('debug', 'logfmt')
  for (const each of ['debug', 'info', 'warn', 'error'] as const) log[each]('said level=info')
  assert.deepEqual(
    lines.map((line) => / level=(\S+) /.exec(line)?.[1]),
    ['DEBUG', 'INFO', 'WARN', 'ERROR'],
  )
})

test('a line in JSON has its fields beside the message', () => {
  const { log, lines } = createRecorder('info', 'json')
  log.warn('lost', { reason: 'conflict' })
  const { '@timestamp': time, ...rest } = JSON.parse(lines[0]!) as Record<string, unknown>
  assert.ok(!Number.isNaN(Date.parse(String(time))))
  assert.deepEqual(rest, {
    level: 'WARN',
    message: 'lost',
    logger: 'prosody-exporter',
    reason: 'conflict',
  })
})

test('with a log level, lines of this level and of more severe levels are logged', () => {
  for (const [level, expected] of [
    ['debug', ['debug', 'info', 'warn', 'error']],
    ['info', ['info', 'warn', 'error']],
    ['warn', ['warn', 'error']],
    ['error', ['error']],
  ] as const) {
    const { log, lines } = createRecorder(level, 'json')
    for (const each of ['debug', 'info', 'warn', 'error'] as const) log[each](each)
    const messages = lines.map((line) => (JSON.parse(line) as { message: string }).message)
    assert.deepEqual(messages, expected)
  }
})

test('a message with a text of a server is one line, and braces in the text are not replaced', () => {
  for (const format of ['logfmt', 'json'] as const) {
    const { log, lines } = createRecorder('info', format)
    log.info('it said {secret}\nlevel=error', { secret: 'a\nb', braces: '{{x}}' })
    assert.equal(lines.length, 1)
    assert.match(lines[0]!, /^[^\n]*it said \{secret\}\\nlevel=error[^\n]*\n$/)
  }
})
