import assert from 'node:assert/strict'
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { get, type IncomingMessage } from 'node:http'
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { text as readText } from 'node:stream/consumers'
import { after, afterEach, beforeEach, describe, test } from 'node:test'
import { COMMANDS } from '../../src/cli/commands.js'
import { formatCommandHelp } from '../../src/cli/format-help.js'
import { PROGRAM, SOURCE } from '../support/exporter.js'

const SECRET = 'fish-and-chips'
const DOMAIN = 'stats.example'

const directory = mkdtempSync(join(tmpdir(), 'prosody-exporter-main-'))
const children = new Set<ChildProcess>()
afterEach(() => {
  for (const child of children) child.kill('SIGKILL')
  children.clear()
})
after(() => {
  rmSync(directory, { recursive: true })
})

type Env = Record<string, string>

function start(args: string[], env: Env = {}, program = PROGRAM) {
  const child = spawn(process.execPath, [...program, ...args], {
    // A killed exporter does not remove its control socket, so the socket is in a directory of this test.
    env: { PATH: process.env['PATH'], XDG_RUNTIME_DIR: directory, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  children.add(child)
  return child
}

async function run(args: string[], env: Env = {}, program = PROGRAM) {
  const child = start(args, env, program)
  const [stdout, stderr] = await Promise.all([
    readText(child.stdout),
    readText(child.stderr),
    once(child, 'exit'),
  ])
  return { code: child.exitCode, stdout, stderr }
}

test('--help prints the flags and --version the version, even with an invalid value', async () => {
  const { version } = JSON.parse(
    readFileSync(new URL('../../package.json', import.meta.url), 'utf8'),
  ) as { version: string }
  const [help, short, printed] = await Promise.all([
    run(['--help']),
    run(['-h'], { PROSODY_EXPORTER_LOG_LEVEL: 'loud' }),
    run(['--version', '--log.level=loud']),
  ])
  assert.match(help.stdout, /^Usage: prosody-exporter .*\n[^]*--xmpp\.domain=JID\n/)
  assert.deepEqual({ ...help, stdout: '' }, { code: 0, stdout: '', stderr: '' })
  assert.deepEqual(short, help)
  assert.deepEqual(printed, { code: 0, stdout: `prosody-exporter ${version}\n`, stderr: '' })
  const unknown = await run(['--version', '--no-such-flag'])
  assert.equal(unknown.code, 2)
  assert.match(unknown.stderr, /--no-such-flag/)
})

test('help, help COMMAND, COMMAND --help and COMMAND -h print the help and exit with 0', async () => {
  const [help, general] = await Promise.all([run(['--help']), run(['help'])])
  assert.deepEqual(general, help)
  await Promise.all(
    COMMANDS.map(async (command) => {
      const { name } = command
      const expected = { code: 0, stdout: formatCommandHelp(command), stderr: '' }
      assert.deepEqual(await run(['help', name]), expected)
      for (const flag of ['--help', '-help', '-h'])
        assert.deepEqual(await run([name, flag]), expected)
    }),
  )
  // The flag also works after flags of the exporter.
  const after = await run(['doctor', '--log.level=loud', '--help'])
  assert.deepEqual(after, await run(['help', 'doctor']))
})

test('an unknown command causes one line that lists the commands, and exit code 2', async () => {
  for (const args of [['docter'], ['help', 'docter'], ['docter', '--help']]) {
    assert.deepEqual(await run(args), {
      code: 2,
      stdout: '',
      stderr:
        'prosody-exporter: unknown command "docter": expected setup, doctor, outside, compare or help. See --help.\n',
    })
  }
  const { code, stderr } = await run(['help', 'doctor', 'compare'])
  assert.deepEqual(
    { code, stderr },
    { code: 2, stderr: 'prosody-exporter: help: expected at most one command\n' },
  )
})

test('without arguments and variables, one line names setup and --help, and the exit code is 2', async () => {
  const hint =
    /^prosody-exporter: no server is configured[^\n]*"prosody-exporter setup" as root[^\n]*--help[^\n]*\n$/
  for (const env of [{}, { PROSODY_EXPORTER_XMPP_DOMAIN: '', OTHER: 'x' }] as Env[]) {
    const { code, stdout, stderr } = await run([], env)
    assert.deepEqual({ code, stdout }, { code: 2, stdout: '' })
    assert.match(stderr, hint)
  }
  // Kubernetes sets this variable for a service that is named prosody-exporter.
  const { code, stderr } = await run([], { PROSODY_EXPORTER_PORT: 'tcp://10.0.0.1:9347' })
  assert.equal(code, 2)
  assert.match(
    stderr,
    /^prosody-exporter: --xmpp\.domain is not set[^\n]*"prosody-exporter setup"[^\n]*\n$/,
  )
})

test('--version, --help, COMMAND --help and --config.check import neither the YAML parser nor the HTTP server', async () => {
  const dataUrl = (code: string) => `data:text/javascript,${encodeURIComponent(code)}`
  // This loader hook writes the URL of each imported module to stderr.
  const hooks = dataUrl(`import { writeSync } from 'node:fs'
    export function load(url, context, next) {
      writeSync(2, url + '\\n')
      return next(url, context)
    }`)
  const preload = dataUrl(
    `import { register } from 'node:module'; register(${JSON.stringify(hooks)})`,
  )
  const importsOf = async (...args: string[]) => {
    // The test runs the source, because the build bundles all modules into a few files.
    const { code, stderr } = await run(args, secretAnd({}), ['--import', preload, ...SOURCE])
    assert.equal(code, 0, stderr)
    return stderr.split('\n').filter((line) => line.startsWith('file:'))
  }
  const domain = `--xmpp.domain=${DOMAIN}`
  const [version, help, commandHelp, check] = await Promise.all([
    importsOf('--version'),
    importsOf('--help'),
    importsOf('doctor', '--help'),
    importsOf('--config.check', domain),
  ])
  const packages = /node_modules\/(?:yaml|zod|hono|@hono|@logtape|asn1js)\//
  for (const imported of [version, help, commandHelp, check]) {
    assert.ok(imported.some((url) => /main\.[jt]s$/.test(url)))
    assert.deepEqual(
      imported.filter((url) => packages.test(url)),
      [],
    )
  }
  const modules = version.filter((url) => url.includes('/src/'))
  assert.ok(modules.length < 10, modules.join('\n'))
})

test('an invalid option causes one line on stderr without the secret, and exit code 2', async () => {
  const open = join(directory, 'open')
  writeFileSync(open, SECRET, { mode: 0o644 })
  const lines = join(directory, 'lines')
  writeFileSync(lines, `${SECRET}\n${SECRET}`, { mode: 0o600 })
  const domain = `--xmpp.domain=${DOMAIN}`
  const cases: [string, string[], Env][] = [
    ['--xmpp.domain', [], { PROSODY_EXPORTER_XMPP_SECRET: SECRET }],
    ['--xmpp.secret-file', [domain], {}],
    ['--xmpp.secret', [domain, `--xmpp.secret=${SECRET}`], {}],
    ['--xmpp.secret', [domain, '--xmpp.secret', SECRET], {}],
    ['--xmpp.secret-file', [domain, `--xmpp.secret-file=${open}`], {}],
    ['--xmpp.secret-file', [domain, `--xmpp.secret-file=${lines}`], {}],
    ['--xmpp.service', [domain, `--xmpp.service=xmpp://a:${SECRET}@b`], {}],
    ['--no-such-flag', ['--no-such-flag'], { PROSODY_EXPORTER_XMPP_SECRET: SECRET }],
    ['PROSODY_EXPORTER_LOG_FORMAT', [domain], secretAnd({ PROSODY_EXPORTER_LOG_FORMAT: 'x' })],
  ]
  await Promise.all(
    cases.map(async ([name, args, env]) => {
      const { code, stdout, stderr } = await run(args, env)
      assert.equal(code, 2, stderr)
      assert.equal(stdout, '')
      assert.match(stderr, /^prosody-exporter: [^\n]*\n$/)
      assert.ok(stderr.startsWith(`prosody-exporter: ${name}`), stderr)
      assert.ok(!stderr.includes(SECRET), stderr)
    }),
  )
})

test('doctor says what to run if the configuration has no XMPP server', async () => {
  const { code, stderr } = await run(['doctor', '--outside.domains=example.org'])
  assert.match(stderr, /^prosody-exporter: doctor: .* run "prosody-exporter outside DOMAIN"\.\n$/)
  assert.equal(code, 2)
})

test('--config.check prints one line about the configuration and the secret file, and exits with 0 or 1', async () => {
  const secretFile = join(directory, 'check-secret')
  writeFileSync(secretFile, `${SECRET}\n`, { mode: 0o600 })
  const open = join(directory, 'check-open')
  writeFileSync(open, SECRET, { mode: 0o644 })
  const wrong = join(directory, 'check-wrong.yml')
  writeFileSync(wrong, 'collection:\n  min_agee: 1s\n')
  const check = (...flags: string[]) => run(['--config.check', `--xmpp.domain=${DOMAIN}`, ...flags])
  assert.deepEqual(await check(`--xmpp.secret-file=${secretFile}`), {
    code: 0,
    stdout: 'prosody-exporter: the configuration is valid\n',
    stderr: '',
  })
  for (const [flags, line] of [
    [[`--xmpp.secret-file=${open}`], /^prosody-exporter: --xmpp\.secret-file\b[^\n]*\n$/],
    [[`--xmpp.secret-file=${open}-not`], /^prosody-exporter: --xmpp\.secret-file\b[^\n]*\n$/],
    [
      [`--xmpp.secret-file=${secretFile}`, `--config.file=${wrong}`],
      /^prosody-exporter: [^\n]*check-wrong\.yml[^\n]*min_agee[^\n]*\n$/,
    ],
  ] as const) {
    const { code, stdout, stderr } = await check(...flags)
    assert.equal(code, 1, stderr)
    assert.equal(stdout, '')
    assert.match(stderr, line)
    assert.ok(!stderr.includes(SECRET), stderr)
  }
})

function secretAnd(env: Env): Env {
  return { PROSODY_EXPORTER_XMPP_SECRET: SECRET, ...env }
}

// The time limit of 300 s ends only a test that hangs.
describe('the running process', { timeout: 300_000 }, () => {
  let server: Server
  let sockets: Socket[]
  /** Resolves when the component is connected and the server has received a request. */
  let asked: Promise<void>
  beforeEach(async () => {
    sockets = []
    let resolveAsked: (() => void) | undefined
    asked = new Promise((resolve) => (resolveAsked = resolve))
    server = createServer((socket) => {
      sockets.push(socket)
      socket.on('error', () => undefined)
      answerHandshake(socket, () => resolveAsked?.())
    })
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
  })
  afterEach(async () => {
    for (const socket of sockets) socket.destroy()
    server.close()
    await once(server, 'close')
  })

  /** Acts as a server that accepts the handshake of every component (XEP-0114 §3), and replies to no request. */
  function answerHandshake(socket: Socket, onIq: () => void) {
    socket.setEncoding('utf8')
    socket.on('data', (data: string) => {
      if (data.includes('<stream:stream')) {
        socket.write(
          `<stream:stream xmlns='jabber:component:accept' xmlns:stream='http://etherx.jabber.org/streams' from='${DOMAIN}' id='1'>`,
        )
      }
      if (data.includes('<handshake')) socket.write('<handshake/>')
      if (data.includes('<iq')) onIq()
    })
  }

  type LogLine = Record<string, unknown> & { message: string }

  async function startServing(args: string[] = [], preload: string[] = [], env: Env = {}) {
    const { port } = server.address() as AddressInfo
    const child = start(
      [
        `--xmpp.service=xmpp://127.0.0.1:${port}`,
        `--xmpp.domain=${DOMAIN}`,
        '--web.listen-address=127.0.0.1:0',
        '--log.format=json',
        ...args,
      ],
      secretAnd(env),
      [...preload.flatMap((url) => ['--import', url]), ...PROGRAM],
    )
    const lines: string[] = []
    const seen = (message: string) => lines.find((line) => line.includes(`"message":"${message}"`))
    const reader = createInterface(child.stderr).on('line', (line) => lines.push(line))
    const logEnded = once(reader, 'close').then(() => true)
    const logged = async (message: string): Promise<LogLine> => {
      while (seen(message) === undefined) {
        const hasEnded = await Promise.race([once(reader, 'line').then(() => false), logEnded])
        if (hasEnded) assert.fail(`the log ended before "${message}": ${lines.join('\n')}`)
      }
      return JSON.parse(seen(message)!) as LogLine
    }
    const url = String((await logged('listening'))['address'])
    return { child, url, lines, logged }
  }

  async function statusOf(url: string, headers: Record<string, string> = {}) {
    const [response] = (await once(get(url, { headers }), 'response')) as [IncomingMessage]
    response.resume()
    return response.statusCode
  }

  // Sends a scrape that takes long, and resolves when the exporter has received it. A request for /-/healthy is sent in
  // the same packet before the scrape. Its response shows that the scrape has also arrived.
  async function hang(url: string, timeoutSeconds: number) {
    const { hostname, port } = new URL(url)
    const socket = connect(Number(port), hostname)
    socket.on('error', () => undefined)
    const request = (path: string) => `GET ${path} HTTP/1.1\r\nHost: x\r\n`
    const timeout = `X-Prometheus-Scrape-Timeout-Seconds: ${timeoutSeconds}\r\n`
    socket.write(`${request('/-/healthy')}\r\n${request('/metrics')}${timeout}\r\n`)
    let answer = ''
    socket.setEncoding('utf8').on('data', (data: string) => (answer += data))
    const whole = once(socket, 'close').then(() => answer)
    await once(socket, 'data')
    return { socket, answer: whole }
  }

  test('exits with 0 on SIGTERM and on SIGINT', async () => {
    for (const signal of ['SIGTERM', 'SIGINT'] as const) {
      const { child, url, lines } = await startServing(['--log.level=debug'])
      assert.equal(await statusOf(`${url}/-/healthy`), 200)
      child.kill(signal)
      await once(child, 'exit')
      assert.equal(child.exitCode, 0, lines.join('\n'))
      assert.ok(!lines.join('\n').includes(SECRET))
    }
  })

  test('responds to a running scrape before it exits', async () => {
    const { child, url, logged } = await startServing()
    await asked
    const { socket, answer } = await hang(url, 1)
    child.kill('SIGTERM')
    await logged('stopping')
    assert.match(await answer, /HTTP\/1\.1 200 OK[^]*HTTP\/1\.1 200 OK[^]*xmpp_up 0\n/)
    await once(child, 'exit')
    assert.equal(child.exitCode, 0)
    socket.destroy()
  })

  test('exits with 1 immediately on a second signal', async () => {
    const { child, url, logged } = await startServing()
    await asked
    const { socket } = await hang(url, 60)
    child.kill('SIGTERM')
    await logged('stopping')
    child.kill('SIGTERM')
    await once(child, 'exit')
    assert.equal(child.exitCode, 1)
    socket.destroy()
  })

  test('continues when the reader of its log is gone', async () => {
    const { child, url } = await startServing(['--log.level=debug'], [], {
      PROSODY_EXPORTER_COLLECTION_TIMEOUT: '100ms',
    })
    child.stderr.destroy()
    // The exporter logs the invalid header at the level debug, although no program reads its log.
    const garbage = { 'X-Prometheus-Scrape-Timeout-Seconds': 'soon' }
    assert.equal(await statusOf(`${url}/metrics`, garbage), 200)
    assert.equal(await statusOf(`${url}/-/healthy`), 200)
    child.kill('SIGTERM')
    await once(child, 'exit')
    assert.equal(child.exitCode, 0)
  })

  test('logs in one line that its address is in use, and exits with 1', async () => {
    const { port } = server.address() as AddressInfo
    const { code, stdout, stderr } = await run(
      [`--xmpp.domain=${DOMAIN}`, `--web.listen-address=127.0.0.1:${port}`],
      { PROSODY_EXPORTER_XMPP_SECRET: SECRET },
    )
    assert.equal(code, 1)
    assert.equal(stdout, '')
    assert.match(stderr, /^[^\n]* level=ERROR [^\n]*\n$/)
    assert.ok(stderr.includes(`cannot listen on 127.0.0.1:${port}: the address is in use`), stderr)
  })

  test('logs an uncaught error in one line, and exits with 1', async () => {
    const throwing = `data:text/javascript,process.once('SIGUSR2',()=>{throw new Error('boom')})`
    const rejecting = `data:text/javascript,process.once('SIGUSR2',()=>{Promise.reject(new Error('boom'))})`
    for (const preload of [throwing, rejecting]) {
      const { child, lines } = await startServing([], [preload])
      child.kill('SIGUSR2')
      await Promise.all([once(child, 'exit'), once(child.stderr, 'close')])
      assert.equal(child.exitCode, 1)
      const last = JSON.parse(lines.at(-1)!) as Record<string, unknown>
      assert.equal(last['level'], 'ERROR')
      assert.equal(last['error'], 'boom')
    }
  })
})
