import { createExporterService } from './exporter-service.js'
import { getRestartCommand, hasSystemd, restartProsody } from './restart-prosody.js'
import { SetupFailure } from './setup-failure.js'
import type { SetupFlags } from './setup-flags.js'
import type { SetupIo } from './setup-io.js'
import { readRecord, type SetupRecord } from './setup-record.js'
import { removeCreated } from './write-files.js'

/**
 * `prosody-exporter setup --undo`: removes everything that setup wrote, and stops the service.
 *
 * @returns The exit code: 0 when everything was removed, 1 when files that somebody has changed stay.
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
