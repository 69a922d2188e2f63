/**
 * `npm start` runs a private Prosody on loopback with prosody-example.cfg.lua, and an exporter for it. Arguments are
 * the exporter's flags. Ctrl-C stops both and removes their files.
 */

import { readFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join } from 'node:path'
import process from 'node:process'
import { freePort, launch, onEnd, root, SetupError, until } from '../test/support/setup/process.js'
import { startProsody } from '../test/support/setup/prosody.js'
import { build, installPackages } from '../test/support/setup/dependencies.js'

const DEFAULT_PORT = 9347
const example = join(root, 'prosody-example.cfg.lua')

/** @param {string} line */
const say = (line) => {
  console.log(`[start] ${line}`)
}

/** Functions that stop the programs, in this order, when this process ends. @type {(() => Promise<void>)[]} */
const stops = []
let stopping = false

/** @param {number} code */
async function end(code) {
  // A second Ctrl-C exits without waiting; the exit handlers then kill the remaining programs.
  if (stopping) process.exit(1)
  stopping = true
  for (const stop of stops) await stop()
  process.exit(code)
}

/** @param {readonly string[]} flags */
async function start(flags) {
  await installPackages(say)
  await build(say)

  const { domain, secret } = await readExample()
  const prosody = await startProsody({
    version: 'default',
    config: `Include ${JSON.stringify(example)}`,
    pluginPaths: [join(root, 'prosody-modules')],
    detached: true,
    say,
  })
  stops.push(() => prosody.stop())
  say(`Prosody ${prosody.version} on 127.0.0.1, private, in ${prosody.dir}`)
  void prosody.exited.then((code) => {
    if (stopping) return
    console.error(prosody.log().split('\n').slice(-10).join('\n'))
    say(`Prosody ended (${code}).`)
    void end(1)
  })

  const port = await portToUse()
  const url = `http://127.0.0.1:${port}`
  const exporter = launch(
    process.execPath,
    [
      join(root, 'dist/main.js'),
      `--xmpp.service=xmpp://127.0.0.1:${prosody.ports.component}`,
      `--xmpp.domain=${domain}`,
      `--web.listen-address=127.0.0.1:${port}`,
      ...flags,
    ],
    {
      // The secret must not be an argument, because every user of the machine can read those.
      env: { ...process.env, PROSODY_EXPORTER_XMPP_SECRET: secret },
      detached: true,
      onOutput: (text) => process.stderr.write(text),
    },
  )
  stops.unshift(() => exporter.stop())
  void exporter.exited.then((code) => {
    if (stopping) return
    say(`The exporter ended (${code}).`)
    void end(1)
  })

  const ready = async () => {
    if (stopping) return true
    const answer = await fetch(`${url}/-/ready`).catch(() => undefined)
    return answer?.ok
  }
  await until(ready, { what: 'the exporter has metrics of Prosody' })
  say(`Ready: ${url}/metrics for Prometheus, ${url}/ for people. Ctrl-C ends everything.`)
}

/** The component that has a secret. */
async function readExample() {
  const text = await readFile(example, 'utf8')
  const section =
    /^Component "([^"]+)"\s*$(?:(?!^Component|^VirtualHost)[^])*?^\s*component_secret = "([^"]+)"/m
  const [, domain, secret] = section.exec(text) ?? []
  if (domain === undefined || secret === undefined) {
    throw new SetupError('prosody-example.cfg.lua has no Component with a component_secret.')
  }
  return { domain, secret }
}

async function portToUse() {
  const server = createServer()
  const free = await new Promise((/** @type {(free: boolean) => void} */ resolve) => {
    server.once('error', () => {
      resolve(false)
    })
    server.listen(DEFAULT_PORT, '127.0.0.1', () => {
      server.close(() => {
        resolve(true)
      })
    })
  })
  if (free) return DEFAULT_PORT
  say(`Port ${DEFAULT_PORT} is taken: using a free one.`)
  return await freePort()
}

onEnd(() => void end(0))
try {
  await start(process.argv.slice(2))
} catch (error) {
  console.error(error instanceof SetupError ? error.message : error)
  await end(1)
}
