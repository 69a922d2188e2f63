import { existsSync, rmSync } from 'node:fs'
import { createExporterService } from './exporter-service.js'
import { findProsodyInstallation } from './prosody-installation.js'
import { confirm, mayRestart } from './questions.js'
import { INCLUDE_LINE, requiresComponentFile } from './required-file.js'
import { getRestartCommand, hasSystemd, isProsodyDown, restartProsody } from './restart-prosody.js'
import { SetupFailure } from './setup-failure.js'
import type { SetupFlags } from './setup-flags.js'
import type { SetupIo } from './setup-io.js'
import { readRecord, type SetupRecord } from './setup-record.js'
import { removeCreated, willKeep } from './write-files.js'

/**
 * The link and the directory that systemd creates for StateDirectory= of the unit. `systemctl clean` would delete them too,
 * but it requires D-Bus.
 */
const STATE_DIRECTORIES = [
  '/var/lib/prosody-exporter-state',
  '/var/lib/private/prosody-exporter-state',
] as const

/**
 * `prosody-exporter setup --undo`: removes everything that setup wrote, and stops the service.
 *
 * @returns The exit code: 0 when everything was removed, 1 when a file stays because the operator has changed it.
 */
export async function undoSetup(flags: SetupFlags, io: SetupIo): Promise<0 | 1> {
  const record = readRecord()
  if (record === undefined) {
    io.print('There is nothing to undo: setup has written no files on this machine.')
    return 0
  }
  for (const each of record.created) {
    if (each.sha256 !== undefined)
      io.print(`  ${willKeep(each) ? 'keep, edited' : 'remove'}: ${each.path}`)
  }
  if (existsSync(STATE_DIRECTORIES[0])) {
    io.print(`  remove: ${STATE_DIRECTORIES[0]} (the history of the page)`)
  }
  if (flags.dryRun) {
    io.print('Nothing was changed, because of --dry-run.')
    return 0
  }
  await confirm('Remove these files?', flags, io)
  await waitUntilNotIncluded(flags, io)
  if (hasSystemd()) {
    await stopService(record, io)
    io.print('Stopped the service prosody-exporter.')
  }
  const kept = removeCreated(record.created)
  if (hasSystemd()) await createExporterService(io.env).reloadUnits()
  for (const path of kept) {
    io.print(`Kept ${path}, because it was changed after setup wrote it. Remove it by hand.`)
  }
  io.print('Removed the files.')
  await restartWithoutComponent(flags, io)
  return kept.length === 0 ? 0 : 1
}

/**
 * Waits until the operator has removed the line that includes the file of setup. With this line and without the file,
 * Prosody cannot start.
 */
async function waitUntilNotIncluded({ yes }: SetupFlags, io: SetupIo): Promise<void> {
  while (await isRequired(io)) {
    if (yes) {
      throw new SetupFailure(
        `The configuration of Prosody still names the file that setup wrote. Remove the line ${INCLUDE_LINE}, and run ` +
          'prosody-exporter setup --undo again. Nothing was changed.',
      )
    }
    io.print(`Remove the line ${INCLUDE_LINE} from the configuration of Prosody.`)
    await io.ask('Press Enter when you have removed the line: ')
  }
}

async function isRequired({ env, directory }: SetupIo): Promise<boolean> {
  let prosody
  try {
    prosody = findProsodyInstallation(env, directory)
  } catch (error) {
    if (error instanceof SetupFailure) return false // Prosody is not installed any more.
    throw error
  }
  return await requiresComponentFile(prosody)
}

async function stopService({ hasEnabledService }: SetupRecord, io: SetupIo): Promise<void> {
  const service = createExporterService(io.env)
  await service.stop()
  if (hasEnabledService && (await service.isEnabled())) await service.disable()
  for (const path of STATE_DIRECTORIES) rmSync(path, { recursive: true, force: true })
}

/** Prosody removes the component when it restarts. */
async function restartWithoutComponent(flags: SetupFlags, io: SetupIo): Promise<void> {
  if (await mayRestart(flags, io)) {
    await restartProsody(io.env)
    if (await isProsodyDown(io.env)) {
      throw new SetupFailure(
        'Setup removed its files, and Prosody does not run after the restart. See: systemctl status prosody',
      )
    }
    io.print('Restarted Prosody.')
  } else {
    const command = getRestartCommand().join(' ')
    io.print(`If Prosody has loaded the component, restart Prosody to remove it: ${command}`)
  }
}
