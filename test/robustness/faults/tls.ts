/** Creates the TLS certificate with which the exporter serves HTTPS in the scenarios, once in each process. */

import { mkdtempSync, rmSync } from 'node:fs'
import { readFile, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import process from 'node:process'
import { createAuthority } from '../../support/web.js'

export type Encryption = { readonly configFile: string; readonly ca: string }

let created: Promise<Encryption> | undefined

export function encryption(): Promise<Encryption> {
  created ??= createEncryption()
  return created
}

async function createEncryption(): Promise<Encryption> {
  const directory = mkdtempSync(join(tmpdir(), 'prosody-exporter-faults-'))
  process.once('exit', () => {
    rmSync(directory, { recursive: true })
  })
  const authority = await createAuthority(directory, 'ca')
  await authority.issue('exporter', 'IP:127.0.0.1')
  const configFile = join(directory, 'web.yml')
  await writeFile(
    configFile,
    'tls_server_config:\n  cert_file: exporter.crt\n  key_file: exporter.key\n',
  )
  return { configFile, ca: await readFile(authority.file, 'utf8') }
}
