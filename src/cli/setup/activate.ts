import { readFileSync, rmSync, statSync } from 'node:fs'
import { describeRejections } from './alert-recipients.js'
import { formatAlertmanagerLines } from './alertmanager-lines.js'
import { mayBeRequired } from './check-result.js'
import { formatPrometheusJobs } from '../../servers/prometheus-job.js'
import type { Plan } from './create-plan.js'
import { createExporterService } from './exporter-service.js'
import { TOKEN_FILE } from './plan-alerts.js'
import type { ProsodyInstallation } from './prosody-installation.js'
import { mayRestart } from './questions.js'
import { getRestartCommand, hasSystemd, isProsodyDown, restartProsody } from './restart-prosody.js'
import { SetupFailure } from './setup-failure.js'
import type { SetupFlags } from './setup-flags.js'
import type { SetupIo } from './setup-io.js'
import { DEFAULT_CONFIG_FILE as CONFIG_FILE } from '../doctor/default-config-file.js'
import type { SetupRecord } from './setup-record.js'
import { updateRecord } from './write-files.js'

type Options = {
  /** Whether this run wrote any file. */
  readonly hasChanges: boolean
  /** Whether this run wrote a file that Prosody loads. */
  readonly isProsodyChanged: boolean
  readonly prosody: ProsodyInstallation
  readonly flags: SetupFlags
  readonly io: SetupIo
}

const GROUP_MAY_READ = 0o040
const NOT_LOADED = 'Prosody must be restarted to load the new configuration.'

/**
 * Restarts Prosody, starts the service, and checks the result with doctor.
 *
 * @returns The exit code: 0 when everything works, or when only the restart of Prosody is left; else 1.
 */
export async function activate(plan: Plan, record: SetupRecord, options: Options): Promise<0 | 1> {
  const { hasChanges, flags, io } = options
  let restart = await restartIfNeeded(plan, record, options)
  await startService(hasChanges || restart === 'done', io)
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
  let verdict = await printDoctor([], io)
  // Files can be older than this run and new to Prosody, for example after the package was removed and installed again.
  if (
    !verdict.isWorking &&
    restart === 'unnecessary' &&
    (await mayRestart(flags, io, NOT_LOADED))
  ) {
    restart = await restartOrRecover(plan, options)
    await startService(true, io)
    verdict = await printDoctor([], io)
  }
  if (!verdict.isWorking) return 1
  // Only doctor shows that the restart had an effect. The script of Debian 12 without systemd, for example, reports
  // success and does not restart Prosody.
  if (record.needsRestart) updateRecord({ needsRestart: false })
  if (flags.alerts.length > 0 && !(await sendTestMessage(flags, io))) return 1
  describeNextSteps(verdict.lines, plan, io)
  return 0
}

/** Sends a test message to all recipients of alerts. Returns whether it arrived. Without systemd, the operator does this later. */
async function sendTestMessage({ alerts }: SetupFlags, io: SetupIo): Promise<boolean> {
  if (!hasSystemd()) return true
  const { isWorking, lines } = await printDoctor(['--send-test'], io)
  if (isWorking) return true
  for (const line of describeRejections(alerts, lines)) io.print(line)
  io.print(
    'When the test message arrives, run prosody-exporter setup. It prints the lines for alertmanager.yml.',
  )
  return false
}

async function printDoctor(flags: readonly string[], io: SetupIo) {
  const lines: string[] = []
  io.print('')
  const print = (line: string) => {
    lines.push(line)
    io.print(line)
  }
  const isWorking = await io.runDoctor(CONFIG_FILE, print, flags)
  return { isWorking, lines }
}

/** Restarts Prosody if that is necessary and allowed. If the result is `pending`, the operator must restart it. */
async function restartIfNeeded(
  plan: Plan,
  record: SetupRecord,
  options: Options,
): Promise<'done' | 'pending' | 'unnecessary'> {
  const { isProsodyChanged, flags, io } = options
  if (!record.needsRestart) return 'unnecessary'
  // After an earlier run, the operator may have restarted Prosody.
  if (!isProsodyChanged && (await io.runDoctor(CONFIG_FILE, () => undefined))) return 'unnecessary'
  if (!(await mayRestart(flags, io, NOT_LOADED))) return 'pending'
  return await restartOrRecover(plan, options)
}

/**
 * Restarts Prosody. If it does not start, removes the file of setup and starts Prosody again: users need the server more
 * than its statistics.
 *
 * @throws SetupFailure
 */
async function restartOrRecover(
  { service, componentFile }: Plan,
  { prosody, io }: Options,
): Promise<'done'> {
  try {
    await restartProsody(io.env, service)
    io.print('Restarted Prosody.')
    return 'done'
  } catch (error) {
    if (!(error instanceof SetupFailure) || !(await isProsodyDown(io.env))) throw error
    const { path, content } = componentFile
    if (readFileSync(path, 'utf8') !== content || (await mayBeRequired(prosody))) throw error
    rmSync(path)
    await restartProsody(io.env)
    throw new SetupFailure(
      `${error.message} Setup removed ${path} and restarted Prosody without it. Check: systemctl status prosody`,
    )
  }
}

/** Enables the service, and starts or restarts it. Without systemd, the operator runs the exporter. */
async function startService(mustRestart: boolean, { env, print }: SetupIo): Promise<void> {
  if (!hasSystemd()) return
  const service = createExporterService(env)
  // Setup has written units, or the operator has removed some.
  await service.reloadUnits()
  if (!(await service.isEnabled())) {
    updateRecord({ hasEnabledService: true })
    await service.enable()
  }
  const wasRunning = await service.isRunning()
  if (wasRunning && !mustRestart) return
  await service.restart()
  print(`${wasRunning ? 'Restarted' : 'Started'} the service prosody-exporter.`)
}

/** The settings that formatPrometheusJobs needs, as in the configuration that setup writes. */
const DEFAULTS = {
  servers: [{}],
  web: { listenAddresses: [], routePrefix: '', telemetryPath: '/metrics' },
}

/** @param report The output of doctor. Its last line names the page. */
function describeNextSteps(report: readonly string[], { hasAlerts }: Plan, io: SetupIo): void {
  const [, page = 'http://127.0.0.1:9347/'] = /(https?:\/\/\S+)$/.exec(report.at(-1) ?? '') ?? []
  const { protocol, host } = new URL(page)
  const job = formatPrometheusJobs(DEFAULTS, host)
  // An operator who has configured alerts by hand may have another file with the token.
  const token = hasAlerts ? statSync(TOKEN_FILE, { throwIfNoEntry: false }) : undefined
  const lines = [
    ...(hasSystemd() ? [] : [`Run the exporter: prosody-exporter --config.file=${CONFIG_FILE}`]),
    `Page: ${page}`,
    ...(protocol === 'http:'
      ? ['Job for prometheus.yml:', '', job, '']
      : ['Job for prometheus.yml: prosody-exporter doctor --show.prometheus']),
    ...(token === undefined
      ? []
      : formatAlertmanagerLines({
          page,
          directory: io.directory,
          canGroupRead: (token.mode & GROUP_MAY_READ) !== 0,
        })),
    ...(hasAlerts && !hasSystemd()
      ? ['', 'When the exporter runs, send a test message: prosody-exporter doctor --send-test']
      : []),
    ...(hasAlerts
      ? []
      : ['To get alerts as XMPP messages: prosody-exporter setup --alerts=you@example.com']),
    'To remove everything that setup wrote: prosody-exporter setup --undo',
  ]
  io.print('')
  for (const line of lines) io.print(line)
}
