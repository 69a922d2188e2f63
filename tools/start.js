/**
 * `npm start`: starts a private Prosody on loopback with the configuration prosody-example.cfg.lua, and an exporter
 * for it. The arguments of this script are passed to the exporter as flags. Ctrl-C stops both programs and removes
 * all temporary files.
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

/** Functions that stop the exporter and Prosody. They are called in this order. @type {(() => Promise<void>)[]} */
const stops = []
let stopping = false

/** @param {number} code */
async function end(code) {
  // A second Ctrl-C ends this process without waiting. Programs that still run are killed when this process exits.
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
  say(`Started a private Prosody ${prosody.version} on 127.0.0.1 in ${prosody.dir}`)
  void prosody.exited.then((code) => {
    if (stopping) return
    console.error(prosody.log().split('\n').slice(-10).join('\n'))
    say(`Prosody exited (${code}).`)
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
      // The secret is passed in the environment and not as an argument, because every user of the machine can read
      // arguments.
      env: { ...process.env, PROSODY_EXPORTER_XMPP_SECRET: secret },
      detached: true,
      onOutput: (text) => process.stderr.write(text),
    },
  )
  stops.unshift(() => exporter.stop())
  void exporter.exited.then((code) => {
    if (stopping) return
    say(`The exporter exited (${code}).`)
    void end(1)
  })

  const ready = async () => {
    if (stopping) return true
    const answer = await fetch(`${url}/-/ready`).catch(() => undefined)
    return answer?.ok
  }
  await until(ready, { what: 'the exporter has statistics from Prosody' })
  say(`Ready: ${url}/metrics for Prometheus, ${url}/ for your browser. Press Ctrl-C to stop.`)
}

/** Reads the domain and the secret of the exporter's component from the example configuration. */
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
  say(`Port ${DEFAULT_PORT} is in use. Using another port.`)
  return await freePort()
}

onEnd(() => void end(0))
try {
  await start(process.argv.slice(2))
} catch (error) {
  console.error(error instanceof SetupError ? error.message : error)
  await end(1)
}
