import assert from 'node:assert/strict'
import { once } from 'node:events'
import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { readdir, readFile, readlink } from 'node:fs/promises'
import { join } from 'node:path'
import process from 'node:process'
import { test } from 'node:test'
import { root, until } from '../support/setup/process.js'
import { prosodyVersions } from '../support/setup/installation.js'
import { startProsody } from '../support/setup/prosody.js'

for (const version of prosodyVersions) {
  test(`Prosody ${version} starts with prosody-example.cfg.lua and listens only on loopback addresses`, async (t) => {
    const prosody = await startProsody({
      version,
      config: `Include ${JSON.stringify(join(root, 'prosody-example.cfg.lua'))}`,
      pluginPaths: [join(root, 'prosody-modules')],
    })
    t.after(() => prosody.stop())
    assert.equal(prosody.version, version)
    assert.doesNotMatch(prosody.log(), /\b(error|warn)\s/)

    const addresses = await listeningAddresses(prosody.pid)
    const { component, c2s, s2s } = prosody.ports
    assert.deepEqual(
      addresses.sort(),
      [component, c2s, s2s].map((port) => `127.0.0.1:${port}`).sort(),
    )
    await prosody.stop()
    assert.ok(!existsSync(prosody.dir), 'the directory of Prosody has been removed')
  })
}

test('npm start exports metrics of a real Prosody, and leaves no process and no directory after an interrupt', async (t) => {
  const child = spawn(process.execPath, [join(root, 'tools/start.js')], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  t.after(() => child.kill('SIGKILL'))
  const exited = once(child, 'exit')
  let output = ''
  child.stdout.setEncoding('utf8').on('data', (text) => (output += String(text)))
  const ready = /Ready: (http:\S+)/
  await until(() => child.exitCode !== null || ready.test(output), {
    what: 'npm start is ready',
  })
  const url = ready.exec(output)?.[1] ?? assert.fail(output)
  const text = await (await fetch(url)).text()
  assert.match(text, /^xmpp_up 1$/m)
  assert.match(text, /^prosody_(?!exporter_)/m)
  const dir = /Prosody \S+ on 127\.0\.0\.1 in (\S+)/.exec(output)?.[1] ?? assert.fail(output)
  const children = await childrenOf(child.pid ?? 0)
  assert.equal(children.length, 2)

  child.kill('SIGINT')
  const [code] = (await exited) as [number | null]
  assert.equal(code, 0)
  assert.ok(!existsSync(dir), 'the private directory has been removed')
  for (const pid of children)
    assert.ok(!existsSync(`/proc/${pid}`), 'all child processes have ended')
  await assert.rejects(fetch(url))
})

/** Returns the TCP addresses on which a process listens, as `a.b.c.d:port`. IPv6 addresses are in hexadecimal. */
async function listeningAddresses(pid: number): Promise<string[]> {
  const descriptors = await readdir(`/proc/${pid}/fd`)
  const links = await Promise.all(
    descriptors.map((fd) => readlink(`/proc/${pid}/fd/${fd}`).catch(() => '')),
  )
  const inodes = new Set(links.flatMap((link) => /^socket:\[(\d+)\]$/.exec(link)?.[1] ?? []))
  const tables = await Promise.all(
    ['tcp', 'tcp6'].map((name) => readFile(`/proc/net/${name}`, 'utf8').catch(() => '')),
  )
  const LISTEN = '0A'
  return tables.flatMap((table) =>
    table.split('\n').flatMap((line) => {
      const fields = line.trim().split(/\s+/)
      if (fields[3] !== LISTEN || !inodes.has(fields[9] ?? '')) return []
      const [address = '', port = ''] = (fields[1] ?? '').split(':')
      // In /proc/net/tcp, the kernel writes an IPv4 address as a little-endian number in hexadecimal.
      const bytes = address.length === 8 ? [...Buffer.from(address, 'hex')].reverse() : [address]
      return `${bytes.join('.')}:${parseInt(port, 16)}`
    }),
  )
}

async function childrenOf(pid: number): Promise<string[]> {
  const text = await readFile(`/proc/${pid}/task/${pid}/children`, 'utf8')
  return text.split(' ').filter((part) => part !== '')
}
