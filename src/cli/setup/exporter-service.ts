import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { setTimeout } from 'node:timers/promises'
import type { Env } from '../../config/read-settings.js'
import { runProgram } from './run-program.js'
import { SetupFailure } from './setup-failure.js'
import type { PlannedFile } from './write-files.js'

const UNIT = 'prosody-exporter.service'
/** The directories of units that belong to packages. @see systemd.unit(5) */
const PACKAGED_UNITS = ['/usr/lib/systemd/system', '/lib/systemd/system']
const OWN_UNIT = `/etc/systemd/system/${UNIT}`
/** The service cannot read these directories: ProtectHome= and PrivateTmp= of its unit. */
const HIDDEN_DIRECTORY = /^\/(home|root|run\/user|tmp|var\/tmp)\//
const CONTROL_SOCKETS = '/run/prosody-exporter'

const POLL_INTERVAL_MS = 100
const MAX_POLLS = 600

/** How this process was started: the Node.js and the main.js that the service must start too. */
export type OwnProgram = {
  readonly node: string
  /** The directory of main.js. */
  readonly directory: URL
}

/**
 * Plans the unit file of the service. The list is empty if a package has installed the unit.
 *
 * @throws SetupFailure if the service could not read the program.
 */
export function planUnit({ node, directory }: OwnProgram): PlannedFile[] {
  if (PACKAGED_UNITS.some((path) => existsSync(`${path}/${UNIT}`))) return []
  const main = fileURLToPath(new URL('main.js', directory))
  const hidden = [node, main].find((path) => HIDDEN_DIRECTORY.test(path))
  if (hidden !== undefined) {
    throw new SetupFailure(
      `The service cannot read ${hidden}: its unit hides /home, /root and /tmp. Install Node.js and the exporter ` +
        'for all users (npm install --global), and run setup again.',
    )
  }
  const template = readFileSync(new URL(`../deploy/systemd/${UNIT}`, directory), 'utf8')
  const start = `ExecStart=${[node, main].map(quoteForUnit).join(' ')}`
  const content = template.replace(/^ExecStart=\S+/m, () => start)
  return [{ path: OWN_UNIT, content, mode: 0o644, groupId: 0 }]
}

/** Quotes an argument in a unit file. @see systemd.service(5), "Command lines" */
function quoteForUnit(text: string): string {
  const escaped = text.replace(/[%$]/g, '$&$&').replace(/["\\]/g, '\\$&')
  return /[\s"'\\;]/.test(text) ? `"${escaped}"` : escaped
}

export type ExporterService = {
  /** Reads changed unit files. */
  reloadUnits(): Promise<void>
  isEnabled(): Promise<boolean>
  isRunning(): Promise<boolean>
  /** Whether an administrator has forbidden systemd to start the service. */
  isMasked(): Promise<boolean>
  enable(): Promise<void>
  disable(): Promise<void>
  /**
   * Starts the service, or restarts it, and waits until it answers `prosody-exporter doctor`.
   *
   * @throws SetupFailure if the service does not start.
   */
  restart(): Promise<void>
  stop(): Promise<void>
}

export function createExporterService(env: Env): ExporterService {
  const systemctl = async (...args: string[]) => await runProgram('systemctl', args, { env })
  const must = async (...args: string[]) => {
    const { code, output } = await systemctl(...args)
    if (code === 0) return
    const [reason = ''] = output.trim().split('\n')
    throw new SetupFailure(`systemctl ${args.join(' ')} failed: ${reason}`)
  }
  const readProperties = async () => {
    const { stdout } = await systemctl('show', '--property=ActiveState,SubState', UNIT)
    return new Map(stdout.split('\n').map((line) => line.split('=') as [string, string]))
  }
  const readLastLogLine = async () => {
    const args = ['--unit', UNIT, '--lines=20', '--output=cat', '--no-pager']
    const { stdout } = await runProgram('journalctl', args, { env })
    // The log also has lines of systemd about the process.
    const lines = stdout.split('\n').filter((line) => /level=error|prosody-exporter: /i.test(line))
    const line = lines.at(-1)?.trim()
    // A line of the log is in logfmt.
    const [, error] = /\berror=("(?:[^"\\]|\\.)*")$/.exec(line ?? '') ?? []
    return error === undefined ? line : (JSON.parse(error) as string)
  }

  async function waitUntilStarted(): Promise<void> {
    for (let poll = 0; poll < MAX_POLLS; poll++) {
      const properties = await readProperties()
      const isRestarting = properties.get('SubState') === 'auto-restart'
      if (properties.get('ActiveState') === 'failed' || isRestarting) break
      if (hasControlSocket()) return
      await setTimeout(POLL_INTERVAL_MS)
    }
    const reason = (await readLastLogLine()) ?? 'it does not answer'
    throw new SetupFailure(
      `The service does not start: ${reason}. See: journalctl --unit=prosody-exporter`,
    )
  }

  return {
    reloadUnits: () => must('daemon-reload'),
    isEnabled: async () => (await systemctl('is-enabled', '--quiet', UNIT)).code === 0,
    isRunning: async () => (await systemctl('is-active', '--quiet', UNIT)).code === 0,
    isMasked: async () => (await systemctl('is-enabled', UNIT)).stdout.trim() === 'masked',
    enable: () => must('enable', '--quiet', UNIT),
    disable: () => must('disable', '--quiet', UNIT),
    async restart() {
      await must('restart', UNIT)
      await waitUntilStarted()
    },
    async stop() {
      await systemctl('stop', UNIT)
      await systemctl('reset-failed', UNIT)
    },
  }
}

function hasControlSocket(): boolean {
  try {
    return readdirSync(CONTROL_SOCKETS).length > 0
  } catch {
    return false
  }
}
