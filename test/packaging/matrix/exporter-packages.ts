/** How a new user installs each package of the exporter. */

import { packDebian, packNpm } from '../../../tools/package.js'
import { temporaryDirectory } from '../../support/setup/process.js'
import { withMachine, type Machine } from '../../support/machine.js'

export type ExporterPackage = {
  /** Builds the package in a directory. Returns its path. */
  readonly build: (directory: string) => Promise<string>
  readonly npm?: string
  /**
   * The command that installs the package while the machine has an Internet connection. If it is missing, `install`
   * installs the package later, without a connection.
   */
  readonly online?: string
  /** The documented command. */
  readonly install: string
  /** The directory on the machine that contains README.md and the directory `docs`. */
  readonly pages: string
  readonly rules: string
  readonly dashboard: string
}

const NPM_HOME = '/usr/lib/node_modules/prosody-exporter'

export const EXPORTER_PACKAGES = {
  'npm package': {
    build: packNpm,
    // Node.js that does not come from Debian contains this version of npm.
    npm: 'npm@10',
    online: 'apt-get install nodejs && npm install --global ./prosody-exporter-*.tgz',
    install: 'npm install --global ./prosody-exporter-*.tgz',
    pages: NPM_HOME,
    rules: `${NPM_HOME}/deploy/prometheus/rules.yml`,
    dashboard: `${NPM_HOME}/deploy/grafana/prosody.json`,
  },
  'Debian package': {
    build: packDebian,
    install: 'apt install ./prosody-exporter_*_all.deb',
    pages: '/usr/share/doc/prosody-exporter',
    rules: '/usr/share/prosody-exporter/prometheus/rules.yml',
    dashboard: '/usr/share/prosody-exporter/grafana/prosody.json',
  },
} as const satisfies Readonly<Record<string, ExporterPackage>>

export type PackageName = keyof typeof EXPORTER_PACKAGES
export const PACKAGE_NAMES = Object.keys(EXPORTER_PACKAGES) as readonly PackageName[]

/**
 * Starts a clean Debian with systemd and the given packages of Debian, and installs the exporter on it.
 *
 * @param prepare Runs before the exporter is installed from a Debian package.
 */
export async function withInstalledExporter(
  t: { after(end: () => Promise<void>): void },
  name: string,
  { build, npm, online, install }: ExporterPackage,
  prepare: (machine: Machine) => Promise<unknown>,
): Promise<Machine> {
  const directory = await temporaryDirectory('prosody-exporter-machine')
  t.after(() => directory.remove())
  const machine = await withMachine(t, name, {
    files: [await build(directory.path)],
    ...(npm !== undefined && { npm }),
    ...(online !== undefined && { command: online }),
  })
  await prepare(machine)
  if (online === undefined) await machine.shell(install)
  return machine
}
