import { existsSync } from 'node:fs'
import { connect } from 'node:net'
import { once } from 'node:events'
import { setTimeout } from 'node:timers/promises'
import type { Env } from '../../config/read-settings.js'
import { parseService } from '../../xmpp/address.js'
import { runProgram } from './run-program.js'
import { SetupFailure } from './setup-failure.js'

const POLL_INTERVAL_MS = 200
const MAX_POLLS = 300

/** Whether systemd manages the services of this machine. @see sd_booted(3) */
export const hasSystemd = () => existsSync('/run/systemd/system')

/** The command that restarts the Prosody of this machine. */
export function getRestartCommand(): readonly [string, ...string[]] {
  return hasSystemd() ? ['systemctl', 'restart', 'prosody'] : ['service', 'prosody', 'restart']
}

/**
 * Restarts Prosody, which disconnects every user.
 *
 * @param service If given, waits until Prosody accepts connections at this address.
 * @throws SetupFailure if Prosody does not start.
 */
export async function restartProsody(env: Env, service?: string): Promise<void> {
  const [command, ...args] = getRestartCommand()
  const { code, output } = await runProgram(command, args, { env })
  if (code !== 0) {
    throw new SetupFailure(
      `Prosody did not restart: ${[command, ...args].join(' ')} failed (${output.trim().split('\n')[0]}). ` +
        'Restart Prosody yourself, and run setup again.',
    )
  }
  if (service !== undefined) await waitForPort(service)
}

async function waitForPort(service: string): Promise<void> {
  const { host, port } = parseService(service)
  for (let poll = 0; poll < MAX_POLLS; poll++) {
    const socket = connect({ host, port })
    try {
      await once(socket, 'connect')
      return
    } catch {
      await setTimeout(POLL_INTERVAL_MS)
    } finally {
      socket.destroy()
    }
  }
  throw new SetupFailure(
    `Prosody does not accept connections at ${service} after its restart. See the log of Prosody: ` +
      '/var/log/prosody/prosody.log, or journalctl --unit=prosody.',
  )
}
