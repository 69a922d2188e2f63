/** Helpers for tests of the configuration: a directory, a secret, and the message for a mistake. */

import assert from 'node:assert/strict'
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after } from 'node:test'
import { readConfigFile } from '../../src/config/read-config-file.js'
import { readConfig, type Config } from '../../src/config/read-config.js'
import { ConfigError } from '../../src/errors.js'
import { readSettings } from '../../src/config/read-settings.js'

/** The secret of the component in these tests. No error message may contain this secret. */
export const SECRET = 'fish-and-chips'

export type Env = Readonly<Record<string, string>>

/**
 * Creates a directory that is removed after the tests. Returns its path, and a function that writes a file into it.
 */
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

/** Reads the exporter's configuration in the same way as the program does. */
export function configOf(args: readonly string[], env: Env): Config {
  const settings = readSettings(args, env)
  const [path] = settings.all('config.file')
  return readConfig(settings, { file: path && readConfigFile(path), env })
}

/**
 * Runs a function that must throw a ConfigError. Asserts that the error message is one line and does not contain the
 * secret.
 *
 * @returns The error message.
 */
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
