import assert from 'node:assert/strict'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { test } from 'node:test'
import { until } from '../support/setup/process.js'
import {
  INVALID_OPENMETRICS,
  INVALID_TEXT,
  VALID_OPENMETRICS,
  VALID_TEXT,
  type InvalidInput,
  type ValidInput,
} from '../support/exposition-inputs.js'
import { withPrometheus, type Job } from '../support/prometheus.js'

const EOF = Buffer.from('# EOF\n')
const CONTENT_TYPE = {
  text: 'text/plain; version=0.0.4',
  openmetrics: 'application/openmetrics-text; version=1.0.0; charset=utf-8',
}

type Exposition = {
  readonly format: keyof typeof CONTENT_TYPE
  readonly what: string
  readonly body: Buffer
}

function joinValid(format: Exposition['format'], inputs: readonly ValidInput[]): Exposition {
  const texts = inputs.filter(({ prometheus }) => prometheus === undefined).map(({ text }) => text)
  const end = format === 'openmetrics' ? EOF : ''
  return {
    format,
    what: 'all',
    body: Buffer.concat([Buffer.from(texts.join('')), Buffer.from(end)]),
  }
}

function separateInvalid(
  format: Exposition['format'],
  inputs: readonly InvalidInput[],
): Exposition[] {
  return inputs.map(({ what, text }) => {
    const body = Buffer.from(text)
    const isEnded = format === 'text' || body.includes(EOF)
    return { format, what, body: isEnded ? body : Buffer.concat([body, EOF]) }
  })
}

test('Prometheus accepts and rejects the same expositions as the command compare, and reads the same values', async (t) => {
  const valid = [joinValid('text', VALID_TEXT), joinValid('openmetrics', VALID_OPENMETRICS)]
  const refusedAlone = [...VALID_TEXT, ...VALID_OPENMETRICS]
    .filter(({ prometheus }) => prometheus === 'refuses')
    .map(({ what, text }) => ({ what, text }))
  const invalid = [
    ...separateInvalid('text', [...INVALID_TEXT, ...refusedAlone]),
    ...separateInvalid('openmetrics', INVALID_OPENMETRICS),
  ]
  const expositions = [...valid, ...invalid]
  const server = createServer((request, response) => {
    const { format, body } = expositions[Number(request.url?.slice(1))]!
    response.setHeader('Content-Type', CONTENT_TYPE[format])
    response.end(body)
  })
  t.after(() => {
    server.closeAllConnections()
    server.close()
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  const jobs = expositions.map(({ format }, i): Job => ({
    name: `job${i}`,
    target: `http://127.0.0.1:${port}/${i}`,
    format,
    // The expositions have old timestamps, and Prometheus would not store samples with them.
    extra: ['honor_timestamps: false'],
  }))
  const prometheus = await withPrometheus(t, { major: '3', jobs, intervalMs: 5000 })

  const health = async (i: number) => {
    let answer = { health: 'unknown', lastError: '' }
    await until(
      async () => {
        answer = (await prometheus.targets(`job${i}`))[0] ?? answer
        // On a busy machine, a scrape can exceed its timeout. Then the test waits for the next scrape.
        return answer.health !== 'unknown' && !answer.lastError.includes('deadline exceeded')
      },
      { what: `Prometheus has scraped the exposition "${expositions[i]!.what}"` },
    )
    return answer
  }
  for (const [i, inputs] of [VALID_TEXT, VALID_OPENMETRICS].entries()) {
    const { lastError } = await health(i)
    assert.equal(lastError, '')
    const stored = await prometheus.query(`{job="job${i}"}`)
    const series = stored.map(({ labels, value }) => [keyOf(labels), value] as const)
    assert.deepEqual(
      new Map(series.filter(([key]) => !/^(up|scrape_\w+)\{/.test(key)).sort()),
      new Map(inputs.filter((input) => input.prometheus === undefined).flatMap(({ series }) => Object.entries(series)).sort()), // prettier-ignore
    )
  }
  const accepted = []
  for (const i of invalid.keys()) {
    if ((await health(valid.length + i)).health === 'up') accepted.push(invalid[i]!.what)
  }
  assert.deepEqual(
    accepted,
    [...INVALID_TEXT, ...INVALID_OPENMETRICS].filter((input) => input.isAcceptedByPrometheus).map(({ what }) => what), // prettier-ignore
  )
})

/** Returns the name and labels of a series as one text, as in the tables of expositions. */
function keyOf({ __name__: name = '', ...labels }: Readonly<Record<string, string>>): string {
  const quoted = (text: string) =>
    `"${text.replace(/[\\"\n]/g, (c) => (c === '\n' ? '\\n' : `\\${c}`))}"`
  const pairs = Object.entries(labels)
    .filter(([label]) => label !== 'job' && label !== 'instance')
    .map(([label, value]) => {
      const bound = label === 'le' || label === 'quantile' ? value.replace(/\.0$/, '') : value
      return `${/^\w+$/.test(label) ? label : quoted(label)}=${quoted(bound)}`
    })
    .sort()
  return /^[\w:]+$/.test(name)
    ? `${name}{${pairs.join(',')}}`
    : `{${[quoted(name), ...pairs].join(',')}}`
}
