import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { findPrometheus } from '../../scripts/parts.js'
import { ConfigError } from '../../src/errors.js'
import { readWebConfig } from '../../src/web/read-web-config.js'
import { testDirectory } from '../support/config.js'
import { openssl } from '../support/openssl.js'
import { inline, STRICTER, VERDICTS } from '../support/toolkit-verdicts.js'
import { createAuthority } from '../support/web.js'

const { path: directory, file } = testDirectory()
const ca = await createAuthority(directory, 'ca')
await ca.issue('server', 'DNS:localhost,IP:127.0.0.1')
await ca.issue('other', 'DNS:localhost')
await openssl(['req', '-x509', '-newkey', 'rsa:2048', '-noenc', '-keyout', 'rsa.key', '-out', 'rsa.crt', '-subj', '/CN=rsa', '-days', '2'], directory) // prettier-ignore
const textOf = (name: string) => readFileSync(join(directory, name), 'utf8')

const ALL = { ...VERDICTS, ...inline(textOf('server.crt'), textOf('server.key')) }
const FILES = [
  ...Object.entries(ALL).map(([name, { lines }]) => ({ name, lines })),
  ...Object.entries(STRICTER).map(([name, lines]) => ({ name, lines })),
].map(({ name, lines }, i) => ({
  name,
  path: file(`verdict-${i}.yml`, `${lines.join('\n')}\n`, 0o644),
}))

/** Why the exporter refuses a file; `undefined` when it does not. */
function problemOf(path: string): string | undefined {
  try {
    readWebConfig({ from: 'flag', source: '--web.config.file', text: path })
    return undefined
  } catch (error) {
    if (error instanceof ConfigError) return error.message
    throw error
  }
}

/** The verdicts of the toolkit itself, in Debian's Prometheus. */
async function toolkitProblems(): Promise<Map<string, string | undefined>> {
  const { promtool } = await findPrometheus('3')
  const paths = FILES.map(({ path }) => path)
  const output = await new Promise<string>((resolve) => {
    execFile(promtool, ['check', 'web-config', ...paths], (_error, out, err) => {
      resolve(out + err)
    })
  })
  return new Map(
    FILES.map(({ name, path }) => {
      const [, verdict] = output.split(`${path} `)
      assert.match(verdict ?? '', /^(?:SUCCESS|FAILED)/, `${name}: ${output.slice(0, 500)}`)
      return [name, verdict!.startsWith('FAILED') ? verdict!.split('\n/')[0] : undefined]
    }),
  )
}

test('the exporter and the toolkit take and refuse the same files', async () => {
  const theirs = await toolkitProblems()
  const verdicts = FILES.map(({ name, path }) => {
    const expected = Object.hasOwn(ALL, name) ? ALL[name]!.isGood : undefined
    return { name, ours: problemOf(path), theirs: theirs.get(name), expected }
  })
  const known = verdicts.filter(({ expected }) => expected !== undefined)
  assert.deepEqual(
    known.filter(({ theirs, expected }) => (theirs === undefined) !== expected),
    [],
    'the table has the verdict of the toolkit',
  )
  assert.deepEqual(
    known.filter(({ ours, expected }) => (ours === undefined) !== expected),
    [],
    'the exporter has it too',
  )
  const stricter = verdicts.filter(({ expected }) => expected === undefined)
  assert.deepEqual(
    stricter.filter(({ ours, theirs }) => theirs !== undefined || ours === undefined),
    [],
    'the exporter is stricter where the README says so',
  )
})
