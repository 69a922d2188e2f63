import { once } from 'node:events'
import { request, type IncomingMessage } from 'node:http'
import { request as requestEncrypted } from 'node:https'
import { join } from 'node:path'
import process from 'node:process'
import type { TestContext } from 'node:test'
import { COLLECTORS } from '../../src/collectors/index.js'
import { freePort, launch, root, until } from './setup/process.js'

export type RunningExporter = {
  /** The URL without a path, for example `http://127.0.0.1:40123`. */
  readonly url: string
  readonly port: number
  readonly pid: number
  stdout(): string
  stderr(): string
  running(): boolean
  kill(signal: NodeJS.Signals): void
  readonly exited: Promise<number | NodeJS.Signals>
  stop(): Promise<void>
  /** Requests a path with GET; the body is not decompressed. */
  get(path: string, headers?: Readonly<Record<string, string>>): Promise<Answer>
}

export type Answer = {
  readonly status: number
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
  readonly body: Buffer
  /** The body as text. */
  readonly text: string
}

/** Starts the exporter on a free port and waits until it answers HTTP. It stops after the test. */
export async function withExporter(
  t: Pick<TestContext, 'after'>,
  options: {
    /** Flags in addition to the listen address. */
    readonly flags?: readonly string[]
    /** The environment; of the test's own environment, only PATH, HOME and XDG_RUNTIME_DIR are added. */
    readonly env?: Readonly<Record<string, string>>
    readonly port?: number
    /** The value of `--web.route-prefix`. Default: none. */
    readonly prefix?: string
    /** A shell script that starts the exporter, for example `ulimit -n 64; exec "$@"`. */
    readonly script?: string
  },
): Promise<RunningExporter> {
  const port = options.port ?? (await freePort())
  const flags = [`--web.listen-address=127.0.0.1:${port}`, ...(options.flags ?? [])]
  // The page must not collect, so that only the test causes collections.
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

/** Like `withExporter`, with the flags and the secret for a component of a test's Prosody. */
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
    /** The value of `--web.route-prefix`. Default: none. */
    readonly prefix?: string
    /** Whether all default collectors are on. Default: only the collector `registry`. */
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

/** The arguments of Node.js that start the program from its source. */
export const SOURCE: readonly string[] = [
  ...['--import', import.meta.resolve('tsx')],
  join(root, 'src/main.ts'),
]

/**
 * The arguments of Node.js that start the program: the build in `dist/`, as operators run it. With
 * PROSODY_EXPORTER_TEST_SOURCE, it is the source, so that coverage can be measured.
 */
export const PROGRAM: readonly string[] = process.env['PROSODY_EXPORTER_TEST_SOURCE']
  ? SOURCE
  : [join(root, 'dist/main.js')]

/** Starts the exporter with exactly these flags; the caller stops it. */
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

/** Sends a GET on a new connection; the body is not decompressed. */
export async function httpGet(
  url: string,
  headers: Readonly<Record<string, string>> = {},
  /** The source address of the connection, for example `127.0.0.2`. */
  localAddress?: string,
  /** The certificate authority to trust, in PEM. */
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
