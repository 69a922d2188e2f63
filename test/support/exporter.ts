import { once } from 'node:events'
import { request, type IncomingMessage } from 'node:http'
import { request as requestEncrypted } from 'node:https'
import { join } from 'node:path'
import process from 'node:process'
import type { TestContext } from 'node:test'
import { COLLECTORS } from '../../src/collectors/index.js'
import { freePort, launch, root, until } from './setup/process.js'

export type RunningExporter = {
  /** Without a path, e.g. `http://127.0.0.1:40123`. */
  readonly url: string
  readonly port: number
  readonly pid: number
  stdout(): string
  stderr(): string
  running(): boolean
  kill(signal: NodeJS.Signals): void
  readonly exited: Promise<number | NodeJS.Signals>
  stop(): Promise<void>
  /** GET of a path; nothing is decompressed. */
  get(path: string, headers?: Readonly<Record<string, string>>): Promise<Answer>
}

export type Answer = {
  readonly status: number
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
  readonly body: Buffer
  /** The body as text. */
  readonly text: string
}

/** The exporter on a free port, ended when the test is; it answers HTTP already. */
export async function withExporter(
  t: Pick<TestContext, 'after'>,
  options: {
    /** Besides the listen address. */
    readonly flags?: readonly string[]
    /** In place of ours but for PATH and HOME, e.g. the secret. */
    readonly env?: Readonly<Record<string, string>>
    readonly port?: number
    /** Of `--web.route-prefix`. Default: none. */
    readonly prefix?: string
    /** Shell script that runs it, e.g. `ulimit -n 64; exec "$@"`. */
    readonly script?: string
  },
): Promise<RunningExporter> {
  const port = options.port ?? (await freePort())
  const flags = [`--web.listen-address=127.0.0.1:${port}`, ...(options.flags ?? [])]
  // Nobody collects but who asks, so that what a test counts is its own.
  const env = { PROSODY_EXPORTER_PAGE_INTERVAL: '0', ...options.env }
  const child = runExporter({ ...options, flags, env })
  t.after(() => child.stop())
  const url = `http://127.0.0.1:${port}`
  const get: RunningExporter['get'] = (path, headers) => httpGet(`${url}${path}`, headers)
  await until(
    async () => {
      if (!child.running()) throw new Error(`the exporter ended: ${child.stderr().trim()}`)
      const answer = await get(`${options.prefix ?? ''}/-/healthy`).catch(() => undefined)
      return answer?.status === 200
    },
    { what: 'the exporter answers' },
  )
  return {
    url,
    port,
    pid: child.pid,
    stdout: () => child.stdout(),
    stderr: () => child.stderr(),
    running: () => child.running(),
    kill: (signal) => {
      child.kill(signal)
    },
    exited: child.exited,
    stop: () => child.stop(),
    get,
  }
}

/** `withExporter`, pointed at a component section of a test's Prosody. */
export function withExporterFor(
  t: Pick<TestContext, 'after'>,
  prosody: {
    readonly service: string
    readonly secret: string
    readonly statsDomains: readonly string[]
  },
  options: {
    readonly domain?: string
    readonly flags?: readonly string[]
    readonly env?: Readonly<Record<string, string>>
    readonly port?: number
    /** Of `--web.route-prefix`. Default: none. */
    readonly prefix?: string
    /** With every collector that is on by default. Default: the registry's alone. */
    readonly stock?: boolean
    /** Shell script that runs it, e.g. `ulimit -n 64; exec "$@"`. */
    readonly script?: string
  } = {},
): Promise<RunningExporter> {
  const others = options.stock === true ? [] : COLLECTORS.filter(({ name }) => name !== 'registry')
  const off = others.map(({ name }) => [
    `PROSODY_EXPORTER_COLLECTOR_${name.toUpperCase()}`,
    'false',
  ])
  const domain = options.domain ?? prosody.statsDomains[0] ?? ''
  return withExporter(t, {
    ...options,
    flags: [
      `--xmpp.service=${prosody.service}`,
      `--xmpp.domain=${domain}`,
      ...(options.flags ?? []),
    ],
    env: {
      PROSODY_EXPORTER_XMPP_SECRET: prosody.secret,
      ...(Object.fromEntries(off) as Record<string, string>),
      ...options.env,
    },
  })
}

/**
 * What Node.js runs: what `npm run build` made, as operators do, or with
 * PROSODY_EXPORTER_TEST_SOURCE the source, so that a measurement of coverage sees it.
 */
export const PROGRAM: readonly string[] = process.env['PROSODY_EXPORTER_TEST_SOURCE']
  ? ['--import', import.meta.resolve('tsx'), join(root, 'src/main.ts')]
  : [join(root, 'dist/main.js')]

/** The exporter with these flags and nothing added; the caller ends it. */
export function runExporter(options: {
  readonly flags?: readonly string[]
  readonly env?: Readonly<Record<string, string>>
  readonly script?: string
}): ReturnType<typeof launch> {
  const args = [...PROGRAM, ...(options.flags ?? [])]
  const { PATH, HOME, XDG_RUNTIME_DIR } = process.env
  const [command = '', ...rest] = [
    ...(options.script === undefined ? [] : ['sh', '-c', options.script, 'sh']),
    process.execPath,
    ...args,
  ]
  return launch(command, rest, { cwd: root, env: { PATH, HOME, XDG_RUNTIME_DIR, ...options.env } })
}

/** One GET on a connection of its own, the bytes as they came. */
export async function httpGet(
  url: string,
  headers: Readonly<Record<string, string>> = {},
  /** Where the connection comes from, e.g. `127.0.0.2`. */
  localAddress?: string,
  /** Whom to believe a certificate, PEM. */
  ca?: string,
): Promise<Answer> {
  const options = {
    headers,
    agent: false,
    ...(localAddress && { localAddress }),
    ...(ca && { ca }),
  }
  const sent = url.startsWith('https:') ? requestEncrypted(url, options) : request(url, options)
  sent.end()
  const [response] = (await once(sent, 'response')) as [IncomingMessage]
  const chunks: Buffer[] = []
  for await (const chunk of response) chunks.push(chunk as Buffer)
  const body = Buffer.concat(chunks)
  return {
    status: response.statusCode ?? 0,
    headers: response.headers,
    body,
    text: body.toString('utf8'),
  }
}
