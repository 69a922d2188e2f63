/** What the tests of the configuration share: a directory, a secret, and what is said of a mistake. */

import assert from 'node:assert/strict'
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after } from 'node:test'
import { readConfigFile } from '../../src/config/read-config-file.js'
import { readConfig, type Config } from '../../src/config/read-config.js'
import { ConfigError } from '../../src/errors.js'
import { readSettings } from '../../src/config/read-settings.js'

/** In no message. */
export const SECRET = 'fish-and-chips'

export type Env = Readonly<Record<string, string>>

/** A directory, removed after the tests of the file, and what writes a file into it. */
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

/** Reads the configuration as the program does. */
export function configOf(args: readonly string[], env: Env): Config {
  const settings = readSettings(args, env)
  const [path] = settings.all('config.file')
  return readConfig(settings, { file: path && readConfigFile(path), env })
}

/** The ConfigError's message, which is one line without the secret. */
export function problemOf(run: () => unknown): string {
  let message = ''
  assert.throws(run, (error) => {
    assert.ok(error instanceof ConfigError, String(error))
    message = error.message
    return true
  })
  assert.doesNotMatch(message, /[\r\n]/, 'one line')
  assert.ok(!message.includes(SECRET), 'without the secret')
  return message
}
