/** What our scrape endpoint is encrypted with in the scenarios, made once in a process. */

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import process from 'node:process'
import { createAuthority } from '../helpers/web.js'

export type Encryption = { readonly configFile: string; readonly ca: string }

let made: Encryption | undefined

export function encryption(): Encryption {
  if (made) return made
  const directory = mkdtempSync(join(tmpdir(), 'prosody-exporter-faults-'))
  process.once('exit', () => {
    rmSync(directory, { recursive: true })
  })
  const authority = createAuthority(directory, 'ca')
  authority.issue('exporter', 'IP:127.0.0.1')
  const configFile = join(directory, 'web.yml')
  writeFileSync(
    configFile,
    'tls_server_config:\n  cert_file: exporter.crt\n  key_file: exporter.key\n',
  )
  made = { configFile, ca: readFileSync(authority.file, 'utf8') }
  return made
}
