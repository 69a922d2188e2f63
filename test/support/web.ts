/**
 * Starts servers with a web configuration file, runs curl as a client that shares no code with the exporter, and
 * creates a certificate authority.
 */

import { execFile } from 'node:child_process'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Hono } from 'hono'
import { findCurl } from './setup/programs.js'
import { listen } from '../../src/http/listener.js'
import type { Log } from '../../src/log/log.js'
import { createAccessGate } from '../../src/access/access-gate.js'
import { createWebAccess } from '../../src/access/access.js'
import { openssl } from './openssl.js'

export const given = (text: string) =>
  ({ from: 'flag', source: '--web.config.file', text }) as const

/** Starts an HTTP server on 127.0.0.1 with the given web configuration file. The server stops after the test. */
export async function serve(
  t: { after(run: () => Promise<void>): void },
  config: string,
  now?: () => number,
) {
  const lines: string[] = []
  const at = (message: string, fields: object = {}) => {
    lines.push(`${message} ${JSON.stringify(fields)}`)
  }
  const log: Log = { debug: at, info: at, warn: at, error: at }
  const web = createWebAccess(given(config), log, now)
  const app = new Hono().get('*', (c) => c.text('served'))
  const address = { host: '127.0.0.1', port: 0, optional: false }
  const listener = await listen(app, [address], log, { gate: createAccessGate(web) })
  t.after(async () => {
    await listener.close(0)
    await web.stop()
  })
  return { url: listener.urls[0]!, web, lines }
}

/**
 * Creates a certificate authority. The certificates that it issues are the files `NAME.crt` with the key `NAME.key`.
 */
export async function createAuthority(directory: string, name: string) {
  const run = (...args: string[]) => openssl(args, directory)
  const newKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-noenc']
  await run('req', '-x509', ...newKey, '-keyout', `${name}.key`, '-out', `${name}.crt`, '-subj', `/CN=${name}`, '-days', '2') // prettier-ignore
  return {
    file: join(directory, `${name}.crt`),
    async issue(of: string, sans: string): Promise<void> {
      const request = `${of}.csr`
      await run('req', ...newKey, '-keyout', `${of}.key`, '-out', request, '-subj', `/CN=${of}`)
      await writeFile(join(directory, `${of}.ext`), `subjectAltName=${sans}\n`)
      await run('x509', '-req', '-in', request, '-CA', `${name}.crt`, '-CAkey', `${name}.key`, '-CAcreateserial', '-out', `${of}.crt`, '-days', '2', '-extfile', `${of}.ext`) // prettier-ignore
    },
  }
}

export type Curled = {
  /**
   * The exit code of curl. It is 0 if a response arrived, and otherwise tells why none arrived, for example 35 for a
   * TLS error.
   */
  readonly code: number
  readonly status: number
  readonly version: string
  /** The response headers, in lower case. */
  readonly headers: string
  readonly body: string
}

export async function curl(directory: string, ...args: string[]): Promise<Curled> {
  const { command, env } = await findCurl()
  const all = ['-q', '-s', '-i', '--noproxy', '*', '--max-time', '300', ...args]
  return new Promise((resolve) => {
    execFile(command, all, { cwd: directory, env, maxBuffer: 1e8 }, (error, output) => {
      const end = output.indexOf('\r\n\r\n')
      const [, version = '', status = '0'] = /^HTTP\/(\S+) (\d+)/.exec(output) ?? []
      resolve({
        code: typeof error?.code === 'number' ? error.code : 0,
        status: Number(status),
        version,
        headers: output.slice(0, end).toLowerCase(),
        body: output.slice(end + 4),
      })
    })
  })
}
