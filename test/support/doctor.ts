/** Runs `prosody-exporter doctor`, and asserts that its output does not contain the secret. */

import assert from 'node:assert/strict'
import { runExporter } from './exporter.js'

export const SECRET = 'xyzzy-42'
export const DOMAIN = 'stats.one.example'

export async function runDoctor(flags: readonly string[], env: Readonly<Record<string, string>>) {
  const child = runExporter({ flags: ['doctor', ...flags], env })
  const code = await child.exited
  return { code, out: child.stdout(), err: child.stderr() }
}

export async function doctor(service: string, options: { secret?: string; flags?: string[] } = {}) {
  const { secret = SECRET, flags = [] } = options
  const ran = await runDoctor([`--xmpp.service=${service}`, `--xmpp.domain=${DOMAIN}`, ...flags], {
    PROSODY_EXPORTER_XMPP_SECRET: secret,
  })
  assert.ok(!`${ran.out}${ran.err}`.includes(secret))
  return ran
}
