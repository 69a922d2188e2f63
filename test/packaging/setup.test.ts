// Runs `prosody-exporter setup` from the checkout, on a small Debian with the stock configuration of Prosody and
// without systemd. test/packaging/matrix/setup.test.ts runs it on complete machines.

import assert from 'node:assert/strict'
import { chmod } from 'node:fs/promises'
import { join } from 'node:path'
import process from 'node:process'
import { after, afterEach, before, describe, test } from 'node:test'
import { commandFor, findProsody } from '../support/setup/installation.js'
import { launch, run, temporaryDirectory, until } from '../support/setup/process.js'
import { CONFIG, EXPORTER, withStockMachine, type StockMachine } from '../support/stock-machine.js'
import { prosodyVersions } from '../support/prosody.js'

const COMPONENT = '/etc/prosody/conf.d/prosody-exporter.cfg.lua'
const PLUGINS = '/usr/local/lib/prosody/modules'
const MODULE = `${PLUGINS}/mod_adhoc_statistics/mod_adhoc_statistics.lua`
const EXPORTER_CONFIG = '/etc/prosody-exporter/prosody-exporter.yml'
const SECRET = '/etc/prosody-exporter/xmpp.secret'
const RECORD = '/var/lib/prosody-exporter/setup.json'
const WRITTEN = [RECORD, MODULE, EXPORTER_CONFIG, SECRET, COMPONENT]

for (const version of prosodyVersions) {
  describe(`prosody-exporter setup with Prosody ${version}`, () => {
    let machine: StockMachine
    let stock: string[]
    const ends: (() => Promise<void>)[] = []
    before(async () => {
      machine = await withStockMachine({ after: (end) => ends.push(end) }, { version })
      stock = await machine.list()
    })
    afterEach(() => machine.reset())
    after(async () => {
      for (const end of ends.reverse()) await end()
    })
    test('x', async () => {
    })
  })
}
