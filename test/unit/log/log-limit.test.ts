// Tests how many log lines the exporter writes about problems that last or repeat.

import assert from 'node:assert/strict'
import { describe, test, type TestContext } from 'node:test'
import { CollectorError } from '../../../src/collectors/failure.js'
import { DecodeError, StanzaError, TimeoutError } from '../../../src/errors.js'
import type { Fields, Log } from '../../../src/log/log.js'
import { createProblemLog, limitRepeats } from '../../../src/log/log-limit.js'
import { family } from '../../../src/metrics/family.js'
import { createScraper } from '../../../src/scrape/scraper.js'
import { createClock } from '../../support/clock.js'
import { connectTo } from '../../support/connection.js'

type Line = { readonly level: keyof Log; readonly message: string; readonly fields: Fields }

function recorder() {
  const lines: Line[] = []
  const line =
    (level: keyof Log) =>
    (message: string, fields: Fields = {}) => {
      lines.push({ level, message, fields })
    }
  const log: Log = {
    debug: line('debug'),
    info: line('info'),
    warn: line('warn'),
    error: line('error'),
  }
  return { log, shown: () => lines.filter(({ level }) => level !== 'debug'), lines }
}

describe('the log of one problem', () => {
  function setUp() {
    const clock = createClock()
    const { log, shown } = recorder()
    const problems = createProblemLog(log, clock.now)
    const fail = (kind: string, detail = '') =>
      problems.problem({ kind, level: 'warn', message: kind, fields: {}, detail })
    const recover = () => {
      problems.recovered('recovered', {})
    }
    const said = () => shown().map(({ message }) => message)
    return { clock, shown, said, fail, recover }
  }

  test('has one line when a problem begins, one when another problem replaces it, and one at the recovery', () => {
    const { clock, said, fail, recover } = setUp()
    for (const kind of ['a', 'a', 'b', 'b']) {
      fail(kind)
      clock.advance(15_000)
    }
    recover()
    recover()
    assert.deepEqual(said(), ['a', 'b', 'recovered'])
  })

  test('has at most one line per minute about an intermittent problem, with the number of suppressed lines', () => {
    const { clock, shown, said, fail, recover } = setUp()
    for (let i = 0; i < 8; i++) {
      fail('a')
      clock.advance(10_000)
      recover()
      clock.advance(10_000)
    }
    assert.deepEqual(said(), ['a', 'recovered', 'a', 'recovered', 'a', 'recovered'])
    assert.deepEqual(
      shown().map(({ fields }) => fields['suppressed']),
      [undefined, undefined, 2, undefined, 2, undefined],
    )
  })

  test('logs a problem that returned within a minute and lasts, when the minute is over', () => {
    const { clock, said, fail, recover } = setUp()
    fail('a')
    recover()
    for (let i = 0; i < 10; i++) {
      clock.advance(15_000)
      fail('a')
    }
    recover()
    assert.deepEqual(said(), ['a', 'recovered', 'a', 'recovered'])
  })

  test('logs changed details of the same kind at growing intervals', () => {
    const { clock, said, fail } = setUp()
    for (let seconds = 0; seconds < 86_400; seconds += 15) {
      fail('a', `at ${seconds} s`)
      clock.advance(15_000)
    }
    assert.equal(said().length <= 32, true, `${said().length} lines in a day`)
    assert.equal(said().length >= 24, true, `${said().length} lines in a day`)
  })
})

test('limitRepeats writes each warning and error once per minute, and the other lines at the level debug', () => {
  const clock = createClock()
  const { log, lines, shown } = recorder()
  const limited = limitRepeats(log, clock.now)
  for (let i = 0; i < 1000; i++) {
    limited.error('a request failed', { path: `/${i}` })
    limited.warn('a connection could not be accepted', { error: `EMFILE ${i}` })
    limited.info('listening', {})
  }
  assert.equal(shown().length, 1002)
  assert.equal(lines.length, 3000)
  clock.advance(60_000)
  limited.error('a request failed', { path: '/' })
  assert.deepEqual(shown().at(-1)!.fields, { path: '/', suppressed: 999 })
})

describe('six hours of scrapes write few lines', () => {
  const LENGTH_S = 6 * 3600
  const INTERVAL_S = 60
  const texts: Readonly<Record<string, (i: number) => Error | undefined>> = {
    'when the error text of the server differs each time': (i) =>
      new StanzaError('undefined-condition', 'cancel', `${i}`),
    'when the error condition of the server differs each time': (i) =>
      new StanzaError(`x-${i}`, 'cancel', ''),
    'when the value that could not be decoded differs each time': (i) =>
      new DecodeError('page', 'a', `${i}`),
    'when the duration in the text of a time-out differs each time': (i) =>
      new TimeoutError(`no reply within ${i} ms`),
    'when the text of a collector error differs each time': (i) =>
      new CollectorError('forbidden', `${i}`),
  }
  async function scrapeOften(
    t: TestContext,
    error: (i: number) => Error | undefined,
    intervalS: number,
  ) {
    t.mock.timers.enable({ apis: ['setTimeout', 'Date'] })
    const clock = createClock()
    const { log, shown, lines } = recorder()
    let i = 0
    const scraper = createScraper({
      collectors: [
        {
          name: 'fake',
          collect: () => {
            const failure = error(i++)
            return failure
              ? Promise.reject(failure)
              : Promise.resolve({
                  families: [family('gauge', 'a', '', [{ value: 1 }])],
                  invalid: new Map(),
                })
          },
        },
      ],
      link: () => ({ connected: true, connects: 1 }),
      ...{
        minAgeMs: 0,
        timeoutMs: 1000,
        maxSeries: 10,
        created: false,
        exporterFamilies: () => [],
      },
      ...{ log, now: clock.now },
    })
    for (let s = 0; s < intervalS * 360; s += intervalS) {
      await scraper.refresh()
      clock.advance(intervalS * 1000)
      t.mock.timers.tick(intervalS * 1000)
    }
    const failures = lines.filter(({ message }) => message === 'collector failed')
    return { shown: shown().length, failures: failures.length, scrapes: i }
  }
  for (const [what, error] of Object.entries(texts)) {
    test(what, async (t) => {
      const { shown, failures, scrapes } = await scrapeOften(t, error, INTERVAL_S)
      assert.equal(shown <= 14, true, `${shown} lines`)
      assert.equal(failures, scrapes, 'the level debug has a line for each failure')
    })
  }

  test('when two reasons alternate: one line per minute for each reason', async (t) => {
    const { shown } = await scrapeOften(
      t,
      (i) => (i % 2 ? new CollectorError('forbidden', 'a') : new CollectorError('refused', 'b')),
      5,
    )
    assert.equal(shown <= 2 * 30 + 2, true, `${shown} lines`)
  })

  test('when every second scrape fails: two lines per minute', async (t) => {
    const { shown } = await scrapeOften(
      t,
      (i) => (i % 2 ? undefined : new CollectorError('refused', '')),
      5,
    )
    assert.equal(shown <= 2 * 30 + 2, true, `${shown} lines`)
  })

  test('when different families exceed limits.series each time', async (t) => {
    t.mock.timers.enable({ apis: ['setTimeout', 'Date'] })
    const clock = createClock()
    const { log, shown } = recorder()
    let i = 0
    const scraper = createScraper({
      collectors: [
        {
          name: 'fake',
          collect: () => {
            const families = [family('gauge', `a${i++}`, '', [{ value: 1 }])]
            return Promise.resolve({ families, invalid: new Map() })
          },
        },
      ],
      link: () => ({ connected: true, connects: 1 }),
      ...{ minAgeMs: 0, timeoutMs: 1000, maxSeries: 0, created: false, exporterFamilies: () => [] },
      ...{ log, now: clock.now },
    })
    for (let s = 0; s < LENGTH_S; s += INTERVAL_S) {
      await scraper.refresh()
      clock.advance(INTERVAL_S * 1000)
    }
    assert.equal(shown().length <= 14, true, `${shown().length} lines`)
  })
})

describe('reconnections write few lines', () => {
  const dials = 60
  async function dial(t: TestContext, refuse: (i: number) => readonly [string, string?]) {
    const { server, clock, lines, log } = await connectTo(t)
    for (let i = 0; i < dials; i++) {
      const link = await server.link()
      await link.header
      link.refuse(...refuse(i))
      await log.next()
      clock.advance(clock.nextMs())
    }
    return {
      all: lines.length,
      shown: lines.filter(({ level }) => level !== 'debug').map(({ message }) => message),
    }
  }

  test('when the error text of the server changes each time', async (t) => {
    const { all, shown } = await dial(t, (i) => ['policy-violation', `attempt ${i}`])
    assert.equal(all, dials)
    // Sixty attempts to connect take three minutes, and the log may have one line per minute.
    assert.equal(shown.length <= 4, true, shown.join('\n'))
  })

  test('when the error condition changes each time', async (t) => {
    const { shown } = await dial(t, (i) => [`x-condition-${i}`])
    assert.equal(shown.length <= 4, true, shown.join('\n'))
  })

  test('when two error conditions alternate', async (t) => {
    const { shown } = await dial(t, (i) => [i % 2 ? 'conflict' : 'host-unknown'])
    assert.equal(shown.length <= 8, true, shown.join('\n'))
  })
})
