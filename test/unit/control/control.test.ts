import assert from 'node:assert/strict'
import { once } from 'node:events'
import { chmod, lstat, mkdir, readdir, symlink } from 'node:fs/promises'
import { request, type IncomingMessage } from 'node:http'
import { dirname, join } from 'node:path'
import process from 'node:process'
import { text } from 'node:stream/consumers'
import { test, type TestContext } from 'node:test'
import { launch, temporaryDirectory, until } from '../../support/setup/process.js'
import { askForTestMessage, askService } from '../../../src/control/ask-service.js'
import { createControlSockets } from '../../../src/control/control-sockets.js'
import { findService } from '../../../src/control/find-service.js'
import {
  getSocketName,
  type Component,
  type Owner,
} from '../../../src/control/socket-directories.js'
import type { LogLine } from '../../../src/log/log.js'

const uid = process.getuid?.()
const ONE: Component = { service: 'xmpp://127.0.0.1:1', domain: 'one.control.example' }
const TWO: Component = { service: 'xmpp://127.0.0.1:1', domain: 'two.control.example' }

/** Creates control sockets in a temporary directory, and closes them when the test ends. */
async function setUp(
  t: TestContext,
  how: {
    owner?: Owner
    answer?: (component: Component, isShared: boolean) => Promise<string>
    sendTest?: (component: Component) => Promise<string>
  } = {},
) {
  const dir = await temporaryDirectory('control')
  t.after(dir.remove)
  const owner = how.owner ?? { env: { XDG_RUNTIME_DIR: dir.path }, uid }
  const begin = () => {
    const lines: string[] = []
    const line =
      (level: string): LogLine =>
      (message) =>
        lines.push(`${level} ${message}`)
    const log = {
      debug: line('debug'),
      info: line('info'),
      warn: line('warn'),
      error: line('error'),
    }
    let components: readonly Component[] = [ONE]
    const controls = createControlSockets({
      owner,
      log,
      components: () => components,
      answer: how.answer ?? (({ domain }) => Promise.resolve(`about ${domain}`)),
      ...(how.sendTest && { sendTest: how.sendTest }),
      retryMs: 10,
    })
    t.after(() => controls.close())
    const apply = (...all: readonly Component[]) => {
      components = all
      return controls.apply()
    }
    return { lines, apply, close: () => controls.close() }
  }
  const ask = (component: Component) => askService(component, owner, 60_000)
  return { dir: dir.path, path: join(dir.path, 'prosody-exporter'), owner, begin, ask }
}

test('each component has a socket that only its owner can use, and closing removes all files', async (t) => {
  const { dir, path, begin, ask } = await setUp(t)
  const controls = begin()
  await controls.apply(ONE, TWO)
  assert.equal((await lstat(path)).mode & 0o777, 0o700)
  const names = await readdir(path)
  assert.deepEqual(names.sort(), [ONE, TWO].map(getSocketName).sort())
  for (const name of names) assert.equal((await lstat(join(path, name))).mode & 0o777, 0o600)
  assert.equal(await ask(ONE), 'about one.control.example')
  assert.equal(await ask(TWO), 'about two.control.example')

  // A reload removes the first component. The second one stays available.
  await controls.apply(TWO)
  assert.equal(await ask(ONE), undefined)
  assert.equal(await ask(TWO), 'about two.control.example')
  await controls.close()
  assert.equal(await ask(TWO), undefined)
  assert.deepEqual(await readdir(dir), [])
  assert.deepEqual(controls.lines, [])
})

test('the socket only serves a diagnosis, and concurrent requests share one', async (t) => {
  let asked = 0
  let finish: (text: string) => void = () => undefined
  const { path, begin } = await setUp(t, {
    answer: () => {
      asked++
      return new Promise((resolve) => (finish = resolve))
    },
    sendTest: () => Promise.resolve('sent'),
  })
  await begin().apply(ONE)
  const send = async (method: string, url: string) => {
    const options = { socketPath: join(path, getSocketName(ONE)), method, path: url, agent: false }
    const [response] = (await once(request(options).end(), 'response')) as [IncomingMessage]
    return `${response.statusCode} ${await text(response)}`
  }
  for (const [method, url] of [
    ['POST', '/diagnosis'],
    ['GET', '/'],
    ['GET', '/diagnosis?all'],
    ['DELETE', '/-/reload'],
  ] as const) {
    const listed = '404 GET /diagnosis\nPOST /test-message\n'
    assert.equal(await send(method, url), listed, `${method} ${url}`)
  }
  assert.equal(asked, 0)

  const all = Array.from({ length: 6 }, () => send('GET', '/diagnosis'))
  // Connections are accepted in order, so these responses show that the earlier requests have arrived.
  for (let i = 0; i < 3; i++) await send('GET', '/')
  finish('the answer')
  assert.deepEqual(await Promise.all(all), Array(6).fill('200 the answer'))
  assert.equal(asked, 1)
  const next = send('GET', '/diagnosis')
  await until(() => asked === 2, { what: 'the next request' })
  finish('another answer')
  assert.equal(await next, '200 another answer')
})

test('the socket sends a test message of a component, and answers other requests meanwhile', async (t) => {
  let finish: ((text: string) => void) | undefined
  const { owner, begin, ask } = await setUp(t, {
    sendTest: ({ domain }) =>
      new Promise((resolve) => {
        finish = (text) => {
          resolve(`${domain}: ${text}`)
        }
      }),
  })
  await begin().apply(ONE, TWO)
  // A diagnosis does not send a message.
  assert.equal(await ask(TWO), 'about two.control.example')
  assert.equal(finish, undefined)
  const answer = askForTestMessage(TWO, owner, 60_000)
  const done = await until(() => finish, { what: 'the message is sent' })
  assert.equal(await ask(TWO), 'about two.control.example')
  done('delivered')
  assert.equal(await answer, 'two.control.example: delivered')
})

test('an exporter of an older version does not know the request for a test message', async (t) => {
  const { owner, begin, ask } = await setUp(t)
  await begin().apply(ONE)
  await assert.rejects(askForTestMessage(ONE, owner, 60_000), /older version.*systemctl restart/)
  assert.equal(await ask(ONE), 'about one.control.example')
  assert.equal(await askForTestMessage(TWO, owner, 60_000), undefined)
})

test('the socket file of a process that was killed is replaced', async (t) => {
  const { path, begin, ask } = await setUp(t)
  await mkdir(path, { mode: 0o700 })
  const file = join(path, getSocketName(ONE))
  const listen = `require('node:net').createServer().listen(${JSON.stringify(file)}, () => console.log('on'))`
  const killed = launch(process.execPath, ['-e', listen])
  t.after(() => killed.stop())
  await until(() => killed.stdout().includes('on'), { what: 'it listens' })
  killed.kill('SIGKILL')
  await killed.exited
  assert.ok((await lstat(file)).isSocket())
  assert.equal(await ask(ONE), undefined)
  const controls = begin()
  await controls.apply(ONE)
  assert.equal(await ask(ONE), 'about one.control.example')
  assert.deepEqual(controls.lines, [])
})

test('the socket of another exporter is not replaced until that exporter ends', async (t) => {
  const { begin, ask, path } = await setUp(t)
  const [first, second] = [begin(), begin()]
  await first.apply(ONE)
  const { ino } = await lstat(join(path, getSocketName(ONE)))
  await second.apply(ONE, TWO)
  assert.equal((await lstat(join(path, getSocketName(ONE)))).ino, ino)
  assert.equal(second.lines.length, 1)
  assert.match(
    second.lines[0]!,
    /^warn Another exporter .* "one\.control\.example": each disconnects/,
  )
  await first.close()
  await until(async () => (await ask(ONE)) !== undefined, { what: 'the second has the socket' })
  assert.equal(second.lines.length, 1)
})

test('a socket that cannot be created is logged once, and nothing fails', async (t) => {
  const { begin, ask, owner } = await setUp(t, { owner: { env: {}, uid: undefined } })
  const controls = begin()
  await controls.apply(ONE, TWO)
  await controls.apply(ONE)
  assert.equal(controls.lines.length, 1)
  assert.match(controls.lines[0]!, /^info No control socket.*XDG_RUNTIME_DIR/)
  assert.equal(await ask(ONE), undefined)
  assert.equal(await findService(ONE, owner), undefined)
})

test('the runtime directory of systemd is used first, and is not removed', async (t) => {
  const runtime = await temporaryDirectory('control')
  t.after(runtime.remove)
  const owner = {
    env: { RUNTIME_DIRECTORY: `${runtime.path}:/other`, XDG_RUNTIME_DIR: '/none' },
    uid,
  }
  const { begin } = await setUp(t, { owner })
  const controls = begin()
  await controls.apply(ONE)
  assert.deepEqual(await readdir(runtime.path), [getSocketName(ONE)])
  await controls.close()
  assert.deepEqual(await readdir(runtime.path), [])
})

test('a directory that other users can write to is neither used nor trusted', async (t) => {
  const { dir, path, begin, ask } = await setUp(t)
  const controls = begin()
  await controls.apply(ONE)
  await chmod(path, 0o777)
  assert.equal(await ask(ONE), undefined)
  await chmod(path, 0o700)
  assert.equal(await ask(ONE), 'about one.control.example')
  await controls.close()

  const elsewhere = join(dir, 'elsewhere')
  await mkdir(elsewhere, { mode: 0o700 })
  await symlink(elsewhere, path)
  const careful = begin()
  await careful.apply(ONE)
  assert.deepEqual(await readdir(elsewhere), [])
  // The exporter used the next directory instead.
  assert.equal(await ask(ONE), 'about one.control.example')
  const found = await findService(ONE, { env: {}, uid })
  assert.equal(dirname(found!.path), `/tmp/prosody-exporter-${uid}`)
})

test('the name of a socket is the same for all notations of the server address', () => {
  const name = (service: string, domain = 'd.example') => getSocketName({ service, domain })
  assert.equal(name('xmpp://127.0.0.1:5347'), name('xmpp://localhost'))
  assert.equal(name('xmpp://[::1]:5347'), name('xmpp://localhost'))
  const all = [name('xmpp://localhost'), name('xmpp://localhost:1'), name('xmpp://192.0.2.1')]
  assert.equal(new Set([...all, name('xmpp://localhost', 'e.example')]).size, 4)
  for (const each of all) assert.match(each, /^[0-9a-f]{16}\.sock$/)
})

test('an exporter learns that another exporter on this machine uses its component', async (t) => {
  const answer = (_: Component, isShared: boolean) => Promise.resolve(String(isShared))
  const { begin, ask } = await setUp(t, { answer })
  const first = begin()
  await first.apply(ONE)
  assert.equal(await ask(ONE), 'false')
  const second = begin()
  await second.apply(ONE)
  // The second exporter reports itself again and again, because the first forgets each report after 30 ms.
  await until(async () => (await ask(ONE)) === 'true', { what: 'the first exporter knows' })
  await second.close()
  await until(async () => (await ask(ONE)) === 'false', { what: 'the conflict is forgotten' })
})
