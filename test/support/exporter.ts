import { once } from 'node:events'
import { request, type IncomingMessage } from 'node:http'
import { request as requestEncrypted } from 'node:https'
import { join } from 'node:path'
import process from 'node:process'
import type { TestContext } from 'node:test'
import { COLLECTORS } from '../../src/collectors/index.js'
import { freePort, launch, root, until } from './setup/process.js'

export type RunningExporter = {
  /** The URL of the exporter without a path, for example `http://127.0.0.1:40123`. */
  readonly url: string
  readonly port: number
  readonly pid: number
  stdout(): string
  stderr(): string
  running(): boolean
  kill(signal: NodeJS.Signals): void
  readonly exited: Promise<number | NodeJS.Signals>
  stop(): Promise<void>
  /** Sends a GET request for a path. The body of the answer is not decompressed. */
  get(path: string, headers?: Readonly<Record<string, string>>): Promise<Answer>
}

export type Answer = {
  readonly status: number
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
  readonly body: Buffer
  readonly text: string
}

/**
 * Starts the exporter on a free port, and waits until it answers HTTP requests. The exporter stops after the test.
 */
export async function withExporter(
  t: Pick<TestContext, 'after'>,
  options: {
    /** Command-line flags of the exporter, in addition to `--web.listen-address`. */
    readonly flags?: readonly string[]
    /**
     * Environment variables of the exporter. Of the variables of the test process, the exporter gets only PATH, HOME
     * and XDG_RUNTIME_DIR.
     */
    readonly env?: Readonly<Record<string, string>>
    readonly port?: number
    /** The value of `--web.route-prefix`. Without it, the exporter gets no such flag. */
    readonly prefix?: string
    /** A shell script that starts the exporter, for example `ulimit -n 64; exec "$@"`. */
    readonly script?: string
  },
): Promise<RunningExporter> {
  const port = options.port ?? (await freePort())
  const flags = [`--web.listen-address=127.0.0.1:${port}`, ...(options.flags ?? [])]
  // With an interval of 0, the exporter's page causes no collections, so only the test causes them.
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

/**
 * Starts the exporter as `withExporter` does, with flags and a secret for one of the components of a test's Prosody.
 */
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
    /** The value of `--web.route-prefix`. Without it, the exporter gets no such flag. */
    readonly prefix?: string
    /**
     * Whether the exporter runs all collectors that are on by default. Without this option, it runs only the
     * collector `registry`.
     */
    readonly stock?: boolean
    /** A shell script that starts the exporter, for example `ulimit -n 64; exec "$@"`. */
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

/** The arguments with which Node.js runs the exporter from its TypeScript source. */
export const SOURCE: readonly string[] = [
  ...['--import', import.meta.resolve('tsx')],
  join(root, 'src/main.ts'),
]

/**
 * The arguments with which Node.js runs the exporter. They run the build in `dist/`, as operators do. If the
 * environment variable PROSODY_EXPORTER_TEST_SOURCE is set, they run the source, so that coverage can be measured.
 */
export const PROGRAM: readonly string[] = process.env['PROSODY_EXPORTER_TEST_SOURCE']
  ? SOURCE
  : [join(root, 'dist/main.js')]

/** Starts the exporter with only the given flags. The caller must stop it. */
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

/** Sends a GET request on a new connection. The body of the answer is not decompressed. */
export async function httpGet(
  url: string,
  headers: Readonly<Record<string, string>> = {},
  /** The local IP address from which the connection is made, for example `127.0.0.2`. */
  localAddress?: string,
  /** The certificate of the authority that the client trusts, in PEM. */
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
