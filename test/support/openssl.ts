import { execFile } from 'node:child_process'
import { X509Certificate } from 'node:crypto'
import { promisify } from 'node:util'
import { findOpenssl } from './setup/programs.js'

/** Runs openssl from a Debian package, with which tests create certificates. */
export async function openssl(args: readonly string[], cwd?: string): Promise<void> {
  const { command, env } = await findOpenssl()
  await promisify(execFile)(command, args, { cwd, env })
}

/**
 * Connects to a port with `openssl s_client`, and returns the certificate that the server sends.
 *
 * @param starttls The protocol in which the client starts TLS, for example `xmpp`. By default, the port has TLS from the
 *   start.
 * @throws {Error} If the server sends no certificate.
 */
export async function fetchCertificate(
  port: number,
  host: string,
  starttls?: 'xmpp' | 'xmpp-server',
): Promise<X509Certificate> {
  const { command, env } = await findOpenssl()
  const name = starttls ? ['-starttls', starttls, '-xmpphost', host] : ['-servername', host]
  const args = ['s_client', '-connect', `127.0.0.1:${port}`, ...name]
  const result = promisify(execFile)(command, args, { env })
  result.child.stdin?.end()
  return new X509Certificate((await result).stdout)
}
