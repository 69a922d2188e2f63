import { readFileSync, rmSync } from 'node:fs'
import { isRequired } from './check-result.js'
import type { Plan } from './create-plan.js'
import { createExporterService } from './exporter-service.js'
import { findProsodyInstallation } from './prosody-installation.js'
import { getRestartCommand, hasSystemd, isProsodyDown, restartProsody } from './restart-prosody.js'
import { SetupFailure } from './setup-failure.js'
import type { SetupFlags } from './setup-flags.js'
import type { SetupIo } from './setup-io.js'
import { CONFIG_FILE } from './setup-plan.js'
import { readRecord, type SetupRecord } from './setup-record.js'
import { saveRecord } from './write-files.js'

type Options = {
  /** Whether this run wrote any file. */
  readonly hasChanges: boolean
  /** Whether this run wrote a file that Prosody loads. */
  readonly isProsodyChanged: boolean
  readonly flags: SetupFlags
  readonly io: SetupIo
}

/**
 * Restarts Prosody, starts the service, and checks the result with doctor.
 *
 * @returns The exit code: 0 when everything works, or when only the restart of Prosody is left; else 1.
 */
export async function activate(plan: Plan, record: SetupRecord, options: Options): Promise<0 | 1> {
  const { hasChanges, flags, io } = options
  let restart = await restartIfNeeded(plan, record, options)
  await startService(plan, hasChanges || restart === 'done', io)
  if (restart === 'pending') {
    io.print('')
    io.print(
      `One step is left: restart Prosody, which disconnects every user: ${getRestartCommand().join(' ')}`,
    )
    io.print(
      'Then run prosody-exporter setup again. It checks the result, and prints the job for Prometheus.',
    )
    return 0
  }
  let verdict = await printDoctor(io)
  // Files can be older than this run and new to Prosody, for example after the package was removed and installed again.
  if (!verdict.isWorking && restart === 'unnecessary' && (await mayRestart(flags, io))) {
    restart = await restartOrRecover(plan, io)
    await startService(plan, true, io)
    verdict = await printDoctor(io)
  }
  if (!verdict.isWorking) return 1
  // Only doctor shows that the restart had an effect. The script of Debian 12 without systemd, for example, reports
  // success and does not restart Prosody.
  if (record.needsRestart) saveRecord({ ...readRecord()!, needsRestart: false })
  describeNextSteps(verdict.lines, io)
  return 0
}

async function printDoctor(io: SetupIo) {
  const lines: string[] = []
  io.print('')
  const isWorking = await io.runDoctor(CONFIG_FILE, (line) => {
    lines.push(line)
    io.print(line)
  })
  return { isWorking, lines }
}

/** Restarts Prosody if that is necessary and allowed. If the result is `pending`, the operator must restart it. */
async function restartIfNeeded(
  plan: Plan,
  record: SetupRecord,
  { isProsodyChanged, flags, io }: Options,
): Promise<'done' | 'pending' | 'unnecessary'> {
  if (!record.needsRestart) return 'unnecessary'
  // After an earlier run, the operator may have restarted Prosody.
  if (!isProsodyChanged && (await io.runDoctor(CONFIG_FILE, () => undefined))) return 'unnecessary'
  if (!(await mayRestart(flags, io))) return 'pending'
  return await restartOrRecover(plan, io)
}

/**
 * Restarts Prosody. If it does not start, removes the file of setup and starts Prosody again: users need the server more
 * than its statistics.
 *
 * @throws SetupFailure
 */
async function restartOrRecover({ service, componentFile }: Plan, io: SetupIo): Promise<'done'> {
  try {
    await restartProsody(io.env, service)
    io.print('Restarted Prosody.')
    return 'done'
  } catch (error) {
    if (!(error instanceof SetupFailure) || !(await isProsodyDown(io.env))) throw error
    const { path, content } = componentFile
    const prosody = findProsodyInstallation(io.env, io.directory)
    if (readFileSync(path, 'utf8') !== content || (await isRequired(prosody))) throw error
    rmSync(path)
    await restartProsody(io.env)
    throw new SetupFailure(
      `${error.message} Setup removed ${path} and restarted Prosody without it. Check: systemctl status prosody`,
    )
  }
}

/** Enables and starts the service. Without systemd, the operator runs the exporter. */
async function startService(
  { files }: Plan,
  mustRestart: boolean,
  { env, print }: SetupIo,
): Promise<void> {
  if (!hasSystemd()) return
  const service = createExporterService(env)
  if (files.some(({ path }) => path.endsWith('.service'))) await service.reloadUnits()
  if (!(await service.isEnabled())) {
    saveRecord({ ...readRecord()!, hasEnabledService: true })
    await service.enable()
  }
  if (!mustRestart && (await service.isRunning())) return
  await service.restart()
  print('Started the service prosody-exporter.')
}

async function mayRestart({ restart, yes }: SetupFlags, io: SetupIo): Promise<boolean> {
  if (restart) return true
  if (yes) return false
  io.print('Prosody must be restarted to load the new configuration.')
  const answer = await io.ask('Restart Prosody now? This disconnects every user. [y/N] ')
  return /^(y|yes)$/i.test(answer)
}

/** @param report The output of doctor. Its last line names the page. */
function describeNextSteps(report: readonly string[], { print }: SetupIo): void {
  const [, page = 'http://127.0.0.1:9347/'] = /(https?:\/\/\S+)$/.exec(report.at(-1) ?? '') ?? []
  const { protocol, host } = new URL(page)
  const job = [
    'scrape_configs:',
    '  - job_name: prosody',
    '    static_configs:',
    `      - targets: ['${host}']`,
  ]
  const lines = [
    ...(hasSystemd() ? [] : [`Run the exporter: prosody-exporter --config.file=${CONFIG_FILE}`]),
    `Page: ${page}`,
    ...(protocol === 'http:'
      ? ['Job for prometheus.yml:', '', ...job, '']
      : ['Job for prometheus.yml: prosody-exporter doctor --show.prometheus']),
    'To remove everything that setup wrote: prosody-exporter setup --undo',
  ]
  print('')
  for (const line of lines) print(line)
}
