/**
 * Installs the exporter's Debian package under a real systemd, which starts the service for a Prosody on the host.
 */

import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { until, type run } from './setup/process.js'
import { bootSystemd } from './setup/systemd.js'
import { putPackage, withSmallDebian } from './small-debian.js'
import type { TestProsody } from './prosody.js'

export const SECRET_FILE = '/etc/prosody-exporter/xmpp.secret'

export type Service = {
  /** The path of the system's root directory on the host. */
  readonly root: string
  /** The path of the exporter's Debian package, as programs in the system see it. */
  readonly deb: string
  /** Runs a program in the system. The result has the exit code if the program fails. */
  readonly inside: (...command: string[]) => ReturnType<typeof run>
  /** Runs a program in the system and returns its output. Throws an error if the program fails. */
  readonly must: (...command: string[]) => Promise<string>
  readonly journal: () => Promise<string>
  readonly property: (name: string, unit?: string) => Promise<string>
}

/** Boots a small Debian with systemd. The exporter's package is in its root directory, but not installed yet. */
export async function withService(t: { after(end: () => Promise<void>): void }): Promise<Service> {
  const ends: (() => Promise<void>)[] = []
  t.after(async () => {
    for (const end of ends.reverse()) await end()
  })
  const debian = await withSmallDebian({ after: (end) => ends.push(end) })
  const deb = await putPackage(debian)
  const system = await bootSystemd(debian.root)
  ends.push(system.stop)
  const inside: Service['inside'] = (...command) => system.inside(command)
  const journal = async () =>
    (await inside('journalctl', '--no-pager', '--unit=prosody-exporter')).output
  const must: Service['must'] = async (...command) => {
    const { code, output } = await inside(...command)
    if (code !== 0) throw new Error(`${command.join(' ')}: ${output}${await journal()}`)
    return output
  }
  return {
    root: debian.root,
    deb,
    inside,
    must,
    journal,
    property: async (name, unit = 'prosody-exporter.service') =>
      (await must('systemctl', 'show', '--value', `--property=${name}`, unit)).trim(),
  }
}

/**
 * Writes the files of the service: the secret, the configuration for a test's Prosody, and the environment variables.
 */
export async function configure({ root }: Service, prosody: TestProsody, environment: string) {
  await mkdir(join(root, 'etc/prosody-exporter'), { recursive: true })
  await writeFile(join(root, SECRET_FILE), 'secret\n', { mode: 0o600 })
  const [domain = ''] = prosody.statsDomains
  await writeFile(
    join(root, 'etc/prosody-exporter/prosody-exporter.yml'),
    `servers:
  - service: ${prosody.service}
    domain: ${domain}
    secret_file: xmpp.secret
`,
  )
  await writeFile(join(root, 'etc/default/prosody-exporter'), `${environment}\n`)
}

/** Waits until `ask` returns a value. If it does not, throws an error with the journal of the service. */
export async function untilAnswered<T>(
  service: Service,
  ask: () => Promise<T | undefined | false>,
) {
  return await until(ask, { what: 'the service reads Prosody' }).catch(async (error: unknown) => {
    throw new Error(await service.journal(), { cause: error })
  })
}
