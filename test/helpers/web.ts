/** Certificates made by openssl, and curl: clients of the web configuration that are not ours. */

import { execFile, execFileSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'

/** A CA, and certificates of it by name, each with its key: `NAME.crt` and `NAME.key`. */
export function createAuthority(directory: string, name: string) {
  const openssl = (...args: string[]) =>
    execFileSync('openssl', args, { cwd: directory, stdio: ['ignore', 'pipe', 'pipe'] })
  const newKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-noenc']
  openssl('req', '-x509', ...newKey, '-keyout', `${name}.key`, '-out', `${name}.crt`, '-subj', `/CN=${name}`, '-days', '2') // prettier-ignore
  return {
    file: join(directory, `${name}.crt`),
    issue(of: string, sans: string): void {
      const request = `${of}.csr`
      openssl('req', ...newKey, '-keyout', `${of}.key`, '-out', request, '-subj', `/CN=${of}`)
      writeFileSync(join(directory, `${of}.ext`), `subjectAltName=${sans}\n`)
      openssl('x509', '-req', '-in', request, '-CA', `${name}.crt`, '-CAkey', `${name}.key`, '-CAcreateserial', '-out', `${of}.crt`, '-days', '2', '-extfile', `${of}.ext`) // prettier-ignore
    },
  }
}

export type Curled = {
  /** 0, or what curl ends with when there was no response, e.g. 35 for TLS. */
  readonly code: number
  readonly status: number
  readonly version: string
  /** As they came, in lower case. */
  readonly headers: string
  readonly body: string
}

export function curl(directory: string, ...args: string[]): Promise<Curled> {
  const all = ['-q', '-s', '-i', '--noproxy', '*', '--max-time', '30', ...args]
  return new Promise((resolve) => {
    execFile('curl', all, { cwd: directory, maxBuffer: 1e8 }, (error, output) => {
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
