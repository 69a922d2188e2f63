import { readFileSync } from 'node:fs'
import { activate } from './activate.js'
import { SetupInterruption } from './ask.js'
import { checkResult, waitForInclude } from './check-result.js'
import { createPlan, type Plan } from './create-plan.js'
import { createExporterService } from './exporter-service.js'
import { findProsodyInstallation } from './prosody-installation.js'
import { confirm } from './questions.js'
import { hasSystemd } from './restart-prosody.js'
import { SetupFailure } from './setup-failure.js'
import { parseSetupFlags, type SetupFlags } from './setup-flags.js'
import type { SetupIo } from './setup-io.js'
import { DEFAULT_CONFIG_FILE as CONFIG_FILE } from '../doctor/default-config-file.js'
import { readRecord, RECORD_FILE, type SetupRecord } from './setup-record.js'
import { undoSetup } from './undo-setup.js'
import { chooseAction, writeFiles } from './write-files.js'

/**
 * `prosody-exporter setup`: configures the Prosody of this machine and the exporter, and starts the exporter.
 *
 * @returns The exit code: 0 when everything works, else 1.
 * @throws ConfigError for wrong flags, SetupFailure if setup cannot continue.
 */
export async function setupCommand(args: readonly string[], io: SetupIo): Promise<0 | 1> {
  const flags = parseSetupFlags(args)
  if (io.uid !== 0) {
    throw new SetupFailure(
      'Setup must run as root, because it changes the configuration of Prosody and of systemd. ' +
        'Run: sudo prosody-exporter setup',
    )
  }
  const isQuestion = !flags.yes && !flags.dryRun && !(flags.undo && readRecord() === undefined)
  if (!io.isInteractive && isQuestion) {
    throw new SetupFailure(
      'Setup cannot ask, because standard input is not a terminal. Use --yes, and --restart to restart Prosody.',
    )
  }
  return flags.undo ? await undoSetup(flags, io) : await setUp(flags, io)
}

async function setUp(flags: SetupFlags, io: SetupIo): Promise<0 | 1> {
  const prosody = findProsodyInstallation(io.env, io.directory)
  const previous = readRecord()
  const plan = await beforeWriting(() => createPlan(flags, io, prosody, previous))
  const changed = describePlan(plan, previous, io.print)
  const hasChanges = changed.length > 0
  if (flags.dryRun) {
    io.print('Nothing was changed, because of --dry-run.')
    return 0
  }
  if (hasChanges) await beforeWriting(() => confirm('Write these files?', flags, io))
  if (hasSystemd() && (await createExporterService(io.env).isMasked())) {
    throw new SetupFailure(
      'The service prosody-exporter is masked, so systemd cannot start it. Run systemctl unmask prosody-exporter, and ' +
        'run setup again.',
    )
  }
  const before = await prosody.checkConfiguration()
  const isProsodyChanged = changed.some((path) => path.endsWith('.lua'))
  const written = writeFiles(plan.files, previous, {
    domain: plan.domain,
    hasEnabledService: previous?.hasEnabledService ?? false,
    needsRestart: isProsodyChanged || (previous?.needsRestart ?? false),
  })
  if (hasChanges) io.print('Wrote the files.')
  await waitForInclude(plan, flags, io, prosody)
  await checkResult(plan, prosody, before, written)
  return await activate(plan, written.record, {
    ...{ hasChanges, isProsodyChanged },
    ...{ prosody, flags, io },
  })
}

/**
 * Prints what setup will write.
 *
 * @returns The paths of the files that setup will create or update.
 * @throws SetupFailure if a file exists that setup did not write.
 */
function describePlan(
  { domain, files, componentFile }: Plan,
  previous: SetupRecord | undefined,
  print: (line: string) => void,
): string[] {
  const actions = files.map((file) => [file.path, chooseAction(file, previous)] as const)
  const refused = actions.find(([, action]) => action === 'refuse')
  if (refused !== undefined) throw createRefusal(refused[0])
  const listed = actions.filter(([, action]) => /^(create|update|extend)$/.test(action))
  const isNew = listed.some(([path]) => path === componentFile.path)
  if (isNew) {
    print(`The file for Prosody adds the component ${domain}:`)
    print('')
    const lines = componentFile.content.replace(/(component_secret = ").*"/, '$1…"').trimEnd()
    print(lines.replaceAll(/^(?=.)/gm, '    '))
    print('')
  }
  for (const [path, action] of actions) if (action === 'keep') print(`  unchanged, edited: ${path}`)
  for (const [path, action] of listed) {
    print(`  ${action === 'extend' ? 'add alerts' : action}: ${path}`)
  }
  if (!previous) print(`  create: ${RECORD_FILE} (the list of these files, for --undo)`)
  if (listed.length === 0) print('Nothing to write: all files exist.')
  return listed.map(([path]) => path)
}

/** Explains why setup does not write a file that exists. */
function createRefusal(path: string): SetupFailure {
  // After `apt purge`, for example, the files in the configuration of Prosody exist, and the record does not.
  if (/^(--|#) .*written by prosody-exporter setup/im.test(readFileSync(path, 'utf8'))) {
    return new SetupFailure(
      `${path} is from an earlier setup whose record no longer exists. Remove the file, and run setup again.`,
    )
  }
  const by = path === CONFIG_FILE ? ' (the exporter is already configured by hand)' : ''
  return new SetupFailure(
    `${path} exists, and setup did not write it${by}. Move it away, and run setup again.`,
  )
}

/** Runs a step before setup writes anything. If the operator interrupts it, there is nothing to finish or to undo. */
async function beforeWriting<T>(step: () => Promise<T>): Promise<T> {
  try {
    return await step()
  } catch (error) {
    if (!(error instanceof SetupInterruption)) throw error
    throw new SetupFailure('Setup was interrupted. Nothing was changed.')
  }
}
