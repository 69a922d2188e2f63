import { createExporterService } from './exporter-service.js'
import { COMPONENT_FILE, findProsodyInstallation } from './prosody-installation.js'
import { getRestartCommand, hasSystemd, restartProsody } from './restart-prosody.js'
import { SetupFailure } from './setup-failure.js'
import type { SetupFlags } from './setup-flags.js'
import type { SetupIo } from './setup-io.js'
import { readRecord, type SetupRecord } from './setup-record.js'
import { removeCreated } from './write-files.js'

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
  for (const { path, sha256 } of record.created)
    if (sha256 !== undefined) io.print(`  remove: ${path}`)
  if (flags.dryRun) {
    io.print('Nothing was changed, because of --dry-run.')
    return 0
  }
  if (!flags.yes && !/^(y|yes)?$/i.test(await io.ask('Remove these files? [Y/n] '))) {
    throw new SetupFailure('Nothing was changed.')
  }
  await waitUntilNotIncluded(flags, io)
  if (hasSystemd()) await stopService(record, io)
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
 * Prosody cannot start. A wildcard, as in `Include "conf.d/*.cfg.lua"`, needs no change.
 */
async function waitUntilNotIncluded({ yes }: SetupFlags, io: SetupIo): Promise<void> {
  while (await isRequired(io)) {
    const line = `Include "${COMPONENT_FILE}"`
    if (yes) {
      throw new SetupFailure(
        `The configuration of Prosody still requires the file of setup. Remove the line ${line}, and run ` +
          'prosody-exporter setup --undo again. Nothing was changed.',
      )
    }
    io.print(`Remove the line ${line} from the configuration of Prosody.`)
    await io.ask('Press Enter when you have removed the line: ')
  }
}

/** Returns whether Prosody can read its configuration only while the file of setup exists. */
async function isRequired({ env, directory }: SetupIo): Promise<boolean> {
  const canRead = async (content: string | undefined) => {
    try {
      await findProsodyInstallation(env, directory).readConfiguration(content)
      return true
    } catch (error) {
      if (error instanceof SetupFailure) return false
      throw error
    }
  }
  return !(await canRead(undefined)) && (await canRead(''))
}

async function stopService({ hasEnabledService }: SetupRecord, io: SetupIo): Promise<void> {
  const service = createExporterService(io.env)
  await service.stop()
  if (hasEnabledService && (await service.isEnabled())) await service.disable()
}

/** Prosody removes the component when it restarts. */
async function restartWithoutComponent(flags: SetupFlags, io: SetupIo): Promise<void> {
  const question = 'Restart Prosody now? This disconnects every user. [y/N] '
  const isRestartWanted = flags.restart || (!flags.yes && /^(y|yes)$/i.test(await io.ask(question)))
  if (isRestartWanted) {
    await restartProsody(io.env)
    io.print('Restarted Prosody.')
  } else {
    const command = getRestartCommand().join(' ')
    io.print(`Prosody keeps the component until its next restart: ${command}`)
  }
}
