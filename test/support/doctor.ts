/** Runs `prosody-exporter doctor`, and asserts that its output does not contain the secret. */

import assert from 'node:assert/strict'
import { runExporter } from './exporter.js'

export const SECRET = 'xyzzy-42'
export const DOMAIN = 'stats.one.example'

export async function runDoctor(
  flags: readonly string[],
  env: Readonly<Record<string, string>>,
  script?: string,
) {
  const child = runExporter({ flags: ['doctor', ...flags], env, ...(script && { script }) })
  const code = await child.exited
  return { code, out: child.stdout(), err: child.stderr() }
}

/** Returns the last line of the output of doctor. An error of the configuration is on standard error. */
export const lastLine = ({ out, err }: { out: string; err: string }) =>
  `${out}${err}`.trimEnd().split('\n').at(-1)!

export async function doctor(service: string, options: { secret?: string; flags?: string[] } = {}) {
  const { secret = SECRET, flags = [] } = options
  const ran = await runDoctor([`--xmpp.service=${service}`, `--xmpp.domain=${DOMAIN}`, ...flags], {
    PROSODY_EXPORTER_XMPP_SECRET: secret,
  })
  assert.ok(!`${ran.out}${ran.err}`.includes(secret))
  return ran
}
