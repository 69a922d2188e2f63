// Runs `prosody-exporter setup` from the checkout, on a small Debian with the stock configuration of Prosody and
// without systemd. test/packaging/matrix/setup.test.ts runs it on complete machines.

import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import process from 'node:process'
import { after, afterEach, before, describe, test } from 'node:test'
import { commandFor, findProsody } from '../support/setup/installation.js'
import { launch, temporaryDirectory, until } from '../support/setup/process.js'
import { CONFIG, EXPORTER, withStockMachine, type StockMachine } from '../support/stock-machine.js'

const COMPONENT = '/etc/prosody/conf.d/prosody-exporter.cfg.lua'
const MODULE = '/usr/local/lib/prosody/modules/mod_adhoc_statistics'
const EXPORTER_CONFIG = '/etc/prosody-exporter/prosody-exporter.yml'
const SECRET = '/etc/prosody-exporter/xmpp.secret'
const RECORD = '/var/lib/prosody-exporter/setup.json'
/** In the order in which setup writes them. */
const WRITTEN = [RECORD, MODULE, COMPONENT, EXPORTER_CONFIG, SECRET]

const usesVersion = { '13.0.1': 'Prosody 13.0.1', '0.12.3': 'Prosody 0.12.3' } as const

describe('prosody-exporter setup', () => {
  let machine: StockMachine
  let stock: string[]
  const ends: (() => Promise<void>)[] = []
  before(async () => {
    machine = await withStockMachine({ after: (end) => ends.push(end) }, { version: '13.0.1' })
    stock = await machine.list()
  })
  afterEach(() => machine.reset())
  after(async () => {
    for (const end of ends.reverse()) await end()
  })

  /** Runs setup, which must fail with one line on standard error and change no file. */
  const refuses = async (args: readonly string[], message: RegExp) => {
    const files = await machine.list()
    const { code, stdout, stderr } = await machine.exporter('setup', ...args)
    assert.match(stderr, /^prosody-exporter: [^\n]+\n$/, stdout)
    assert.match(stderr, message)
    assert.equal(code, 1)
    assert.deepEqual(await machine.list(), files)
  }

  test('setup writes its files, and the undo removes all of them', async () => {
    const { code, stdout, stderr } = await machine.exporter('setup', '--yes')
    assert.equal(code, 0, stderr)
    for (const path of WRITTEN) assert.match(stdout, new RegExp(path))
    const files = await machine.list()
    console.log(
      stdout,
      stderr,
      files.filter((line) => !stock.includes(line)),
    )
    const undo = await machine.exporter('setup', '--undo', '--yes')
    assert.equal(undo.code, 0, undo.stderr)
    console.log(undo)
    assert.deepEqual(await machine.list(), stock)
  })
})
