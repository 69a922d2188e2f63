/** Helpers for tests of the configuration: a directory, a secret, and the message of an error. */

import assert from 'node:assert/strict'
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after } from 'node:test'
import { readConfig, type Config } from '../../src/config/read-config.js'
import { ConfigError } from '../../src/errors.js'
import { readSettings } from '../../src/config/flags.js'

/** A secret that no error message may contain. */
export const SECRET = 'fish-and-chips'

export type Env = Readonly<Record<string, string>>

/** Creates a directory, which is removed after the tests of the file, and a function that writes files to it. */
export function testDirectory() {
  const path = mkdtempSync(join(tmpdir(), 'prosody-exporter-config-'))
  after(() => {
    rmSync(path, { recursive: true })
  })
  const file = (name: string, content: string | Uint8Array = SECRET, mode = 0o600) => {
    const inside = join(path, name)
    writeFileSync(inside, content)
    chmodSync(inside, mode)
    return inside
  }
  return { path, file }
}

/** Reads the configuration like the program. */
export const configOf = (args: readonly string[], env: Env): Config =>
  readConfig(readSettings(args, env), env)

/** The message of the ConfigError that `run` throws; asserts that it is one line without the secret. */
export function problemOf(run: () => unknown): string {
  let message = ''
  assert.throws(run, (error) => {
    assert.ok(error instanceof ConfigError, String(error))
    message = error.message
    return true
  })
  assert.doesNotMatch(message, /[\r\n]/, 'the message has several lines')
  assert.ok(!message.includes(SECRET), 'the message contains the secret')
  return message
}
