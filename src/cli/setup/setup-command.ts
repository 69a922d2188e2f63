import { randomBytes } from 'node:crypto'
import { existsSync, readFileSync, rmSync } from 'node:fs'
import { ConfigError } from '../../errors.js'
import { createExporterService, planUnit } from './exporter-service.js'
import {
  findProsodyInstallation,
  findRunningGroup,
  type ProsodyConfiguration,
  type ProsodyInstallation,
} from './prosody-installation.js'
import { INCLUDE_LINE, requiresComponentFile } from './required-file.js'
import { getRestartCommand, hasSystemd, isProsodyDown, restartProsody } from './restart-prosody.js'
import { runProgram } from './run-program.js'
import { SetupFailure } from './setup-failure.js'
import { parseSetupFlags, type SetupFlags } from './setup-flags.js'
import type { SetupIo } from './setup-io.js'
import {
  checkComponent,
  checkDomain,
  checkStatistics,
  chooseComponentPath,
  chooseService,
  CONFIG_FILE,
  planExporterFiles,
  planModule,
  proposeDomain,
  renderComponentFile,
  SECRET_FILE,
} from './setup-plan.js'
import { readRecord, RECORD_FILE, type SetupRecord } from './setup-record.js'
import { undoSetup } from './undo-setup.js'
import {
  chooseAction,
  saveRecord,
  writeFiles,
  type PlannedFile,
  type WrittenFiles,
} from './write-files.js'

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
  if (!io.isInteractive && !flags.yes && !flags.dryRun) {
    throw new SetupFailure(
      'Setup cannot ask, because standard input is not a terminal. Use --yes, and --restart to restart Prosody.',
    )
  }
  return flags.undo ? await undoSetup(flags, io) : await setUp(flags, io)
}

/** Everything that setup will do, decided before it changes anything. */
type Plan = {
  readonly domain: string
  readonly service: string
  readonly configuration: ProsodyConfiguration
  readonly componentFile: PlannedFile
  readonly files: readonly PlannedFile[]
}

async function setUp(flags: SetupFlags, io: SetupIo): Promise<0 | 1> {
  const prosody = findProsodyInstallation(io.env, io.directory)
  const previous = readRecord()
  const plan = await createPlan(flags, io, prosody, previous)
  const hasChanges = describePlan(plan, previous, io.print)
  if (flags.dryRun) {
    io.print('Nothing was changed, because of --dry-run.')
    return 0
  }
  if (hasChanges) await confirm(flags, io, 'Write these files?')
  if (hasSystemd() && (await createExporterService(io.env).isMasked())) {
    throw new SetupFailure(
      'The service prosody-exporter is masked, so systemd cannot start it. Run systemctl unmask prosody-exporter, and ' +
        'run setup again.',
    )
  }
  const before = await prosody.checkConfiguration()
  const isProsodyChanged = willChangeProsody(plan, previous)
  const written = writeFiles(plan.files, previous, {
    domain: plan.domain,
    hasEnabledService: previous?.hasEnabledService ?? false,
    needsRestart: isProsodyChanged || (previous?.needsRestart ?? false),
  })
  if (hasChanges) io.print('Wrote the files.')
  await waitForInclude(plan, flags, io, prosody)
  await checkResult(plan, prosody, before, written)
  const restart = await restartIfNeeded(plan, written.record, { isProsodyChanged, flags, io })
  await startService(plan, hasChanges || restart === 'done', io)
  if (restart === 'pending') {
    io.print('')
    io.print(
      `One step is left: restart Prosody, which disconnects every user: ${getRestartCommand().join(' ')}`,
    )
    io.print('Then check the result: prosody-exporter doctor')
    return 0
  }
  io.print('')
  if (!(await io.runDoctor(CONFIG_FILE, io.print))) return 1
  // Only doctor shows that the restart had an effect. The script of Debian 12 without systemd, for example, reports
  // success and does not restart Prosody.
  if (written.record.needsRestart) saveRecord({ ...readRecord()!, needsRestart: false })
  describeNextSteps(plan.files, io)
  return 0
}

async function createPlan(
  flags: SetupFlags,
  io: SetupIo,
  prosody: ProsodyInstallation,
  previous: SetupRecord | undefined,
): Promise<Plan> {
  const configuration = await prosody.readConfiguration('')
  io.print(`Prosody ${configuration.version}, configured in ${configuration.config_file}`)
  checkStatistics(configuration)
  const service = chooseService(configuration)
  const domain = await chooseDomain(flags, io, configuration, previous)
  checkDomain(domain, configuration)
  const secret = readSecret(previous) ?? randomBytes(32).toString('hex')
  const moduleFiles = planModule(configuration, io.directory, previous)
  const componentFile: PlannedFile = {
    path: chooseComponentPath(configuration),
    content: renderComponentFile({ domain, secret, configuration, moduleFiles }),
    mode: 0o640,
    groupId: await findGroup(configuration, io),
  }
  // Prosody reads the file of setup before it exists, so that a problem is known before setup writes anything.
  if (configuration.included !== undefined)
    checkComponent(domain, configuration, await prosody.readConfiguration(componentFile.content))
  const files = [
    ...moduleFiles,
    ...planExporterFiles(domain, service, secret),
    ...(hasSystemd() ? planUnit(io) : []),
    componentFile,
  ]
  return { domain, service, configuration, componentFile, files }
}

async function chooseDomain(
  { domain, yes, dryRun }: SetupFlags,
  io: SetupIo,
  configuration: ProsodyConfiguration,
  previous: SetupRecord | undefined,
): Promise<string> {
  if (previous !== undefined) {
    if (domain === undefined || domain === previous.domain) return previous.domain
    throw new SetupFailure(
      `Setup has already configured the component "${previous.domain}". To change its name, first run: ` +
        'prosody-exporter setup --undo',
    )
  }
  if (domain !== undefined) return domain
  const proposed = proposeDomain(configuration)
  if (yes || dryRun) return proposed
  for (;;) {
    const answer = await io.ask(`Domain of the component [${proposed}]: `)
    if (answer === '') return proposed
    try {
      return parseSetupFlags([`--domain=${answer}`]).domain!
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error
      io.print(error.message)
    }
  }
}

// A second run keeps the secret, so that it changes nothing.
function readSecret(previous: SetupRecord | undefined): string | undefined {
  if (!previous?.created.some(({ path }) => path === SECRET_FILE)) return undefined
  return existsSync(SECRET_FILE) ? readFileSync(SECRET_FILE, 'utf8').trimEnd() : undefined
}

/** Finds the number of the group of Prosody, which must be able to read its configuration. */
async function findGroup({ run_as_root, group }: ProsodyConfiguration, io: SetupIo) {
  const running = findRunningGroup() ?? (await findServiceGroup(io))
  if (running !== undefined) return running
  if (run_as_root) return 0
  const { code, stdout } = await runProgram('getent', ['group', group], { env: io.env })
  const id = Number(stdout.split(':')[2])
  if (code === 0 && Number.isInteger(id)) return id
  throw new SetupFailure(
    `The group "${group}" does not exist, so Prosody could not read the file of setup. ` +
      'Correct prosody_group or prosody_user in prosody.cfg.lua, and run setup again.',
  )
}

/** Finds the group with which systemd starts Prosody; `undefined` if it starts Prosody as root. */
async function findServiceGroup({ env }: SetupIo): Promise<number | undefined> {
  if (!hasSystemd()) return undefined
  const run = async (command: string, ...args: string[]) =>
    (await runProgram(command, args, { env })).stdout.trim()
  const show = (name: string) =>
    run('systemctl', 'show', '--value', `--property=${name}`, 'prosody')
  const [user, group] = [await show('User'), await show('Group')]
  if (user === '' || user === 'root') return undefined
  const text =
    group === '' ? await run('id', '-g', user) : (await run('getent', 'group', group)).split(':')[2]
  return text ? Number(text) : undefined
}

/**
 * Prints what setup will write.
 *
 * @returns Whether there is anything to write.
 * @throws SetupFailure if a file exists that setup did not write.
 */
function describePlan(
  { domain, files, componentFile }: Plan,
  previous: SetupRecord | undefined,
  print: (line: string) => void,
): boolean {
  const actions = files.map((file) => [file.path, chooseAction(file, previous)] as const)
  const refused = actions.find(([, action]) => action === 'refuse')
  if (refused !== undefined) {
    const how = refused[0] === CONFIG_FILE ? 'the exporter is already configured by hand' : ''
    throw new SetupFailure(
      `${refused[0]} exists, and setup did not write it${how && ` (${how})`}. Move it away, and run setup again.`,
    )
  }
  const listed = actions.filter(([, action]) => action === 'create' || action === 'update')
  const isNew = listed.some(([path]) => path === componentFile.path)
  if (isNew) {
    print(`The file for Prosody adds the component ${domain}:`)
    print('')
    const lines = componentFile.content.replace(/(component_secret = ").*"/, '$1…"').trimEnd()
    print(lines.replaceAll(/^(?=.)/gm, '    '))
    print('')
  }
  for (const [path, action] of actions) if (action === 'keep') print(`  unchanged, edited: ${path}`)
  for (const [path, action] of listed) print(`  ${action}: ${path}`)
  if (listed.length === 0) print('All files exist already.')
  return listed.length > 0
}

/** Throws SetupFailure if the answer is no. */
async function confirm({ yes }: SetupFlags, io: SetupIo, question: string): Promise<void> {
  if (yes) return
  const answer = await io.ask(`${question} [Y/n] `)
  if (/^(y|yes)?$/i.test(answer)) return
  throw new SetupFailure('Nothing was changed.')
}

/** Returns whether Prosody must be restarted after the files are written. */
function willChangeProsody({ files }: Plan, previous: SetupRecord | undefined): boolean {
  return files.some(
    (file) => file.path.endsWith('.lua') && /create|update/.test(chooseAction(file, previous)),
  )
}

/** If the configuration of Prosody includes no directory, waits until the operator has included the file. */
async function waitForInclude(
  { configuration, componentFile }: Plan,
  { yes }: SetupFlags,
  io: SetupIo,
  prosody: ProsodyInstallation,
): Promise<void> {
  if (configuration.included !== undefined) return
  if (yes) {
    throw new SetupFailure(
      `The configuration of Prosody includes no directory. Add the line ${INCLUDE_LINE} at the end of ` +
        `${configuration.config_file}, and run setup again.`,
    )
  }
  io.print('The configuration of Prosody includes no directory. Add this line at the end of')
  io.print(`${configuration.config_file}:`)
  io.print(`\n    ${INCLUDE_LINE}\n`)
  for (;;) {
    await io.ask('Press Enter when you have added the line: ')
    const { included } = await prosody.readConfiguration(componentFile.content)
    if (included === componentFile.path) return
    io.print('The configuration of Prosody does not include the file yet.')
  }
}

/**
 * Checks the new configuration with Prosody and with prosodyctl. Problems that existed before are not those of setup.
 *
 * @throws SetupFailure after everything was restored.
 */
async function checkResult(
  { componentFile, configuration, domain }: Plan,
  prosody: ProsodyInstallation,
  before: { readonly code: number; readonly lines: readonly string[] },
  { isNew, rollBack }: WrittenFiles,
): Promise<void> {
  try {
    const content = readFileSync(componentFile.path, 'utf8')
    checkComponent(domain, configuration, await prosody.readConfiguration(content))
    const after = await prosody.checkConfiguration()
    // The output lists all configuration files. The new one is no problem.
    const problems = after.lines.filter(
      (line) => line !== '' && !line.startsWith('- ') && !before.lines.includes(line),
    )
    if (after.code !== 0 && (before.code === 0 || problems.length > 0)) {
      throw new SetupFailure(`prosodyctl check config reports: ${problems.join(' ')}`)
    }
  } catch (error) {
    if (!(error instanceof SetupFailure)) throw error
    // The operator may have added the line that includes the file.
    if (isNew(componentFile.path) && (await isRequired(prosody))) {
      throw new SetupFailure(
        `${error.message} The files stay, because the configuration of Prosody names the file of setup. ` +
          'Correct that, and run setup again, or with --undo.',
      )
    }
    rollBack()
    throw new SetupFailure(`${error.message} Nothing was changed.`)
  }
}

/** Whether Prosody may be unable to start without the file of setup. */
async function isRequired(prosody: ProsodyInstallation): Promise<boolean> {
  try {
    return await requiresComponentFile(prosody)
  } catch (error) {
    if (error instanceof SetupFailure) return true
    throw error
  }
}

/** Restarts Prosody if that is necessary and allowed. If the result is `pending`, the operator must restart it. */
async function restartIfNeeded(
  plan: Plan,
  record: SetupRecord,
  { isProsodyChanged, flags, io }: { isProsodyChanged: boolean; flags: SetupFlags; io: SetupIo },
): Promise<'done' | 'pending' | 'unnecessary'> {
  if (!record.needsRestart) return 'unnecessary'
  // After an earlier run, the operator may have restarted Prosody.
  const isWorking = !isProsodyChanged && (await io.runDoctor(CONFIG_FILE, () => undefined))
  if (!isWorking) {
    if (!(await mayRestart(flags, io))) return 'pending'
    await restartOrRecover(plan, io)
    io.print('Restarted Prosody.')
  }
  return isWorking ? 'unnecessary' : 'done'
}

/**
 * Restarts Prosody. If it does not start, removes the file of setup and starts Prosody again: users need the server more
 * than its statistics.
 *
 * @throws SetupFailure
 */
async function restartOrRecover({ service, componentFile }: Plan, io: SetupIo): Promise<void> {
  try {
    await restartProsody(io.env, service)
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
  const answer = await io.ask('Restart Prosody now? This disconnects every user. [y/N] ')
  return /^(y|yes)$/i.test(answer)
}

function describeNextSteps(files: readonly PlannedFile[], io: SetupIo): void {
  const lines = [
    ...(hasSystemd() ? [] : [`Run the exporter: prosody-exporter --config.file=${CONFIG_FILE}`]),
    'Page: http://127.0.0.1:9347/',
    'Job for prometheus.yml:',
    '',
    'scrape_configs:',
    '  - job_name: prosody',
    '    static_configs:',
    "      - targets: ['127.0.0.1:9347']",
    '',
    `Setup recorded what it wrote in ${RECORD_FILE} (${files.length} files).`,
    'To remove all of it: prosody-exporter setup --undo',
  ]
  io.print('')
  for (const line of lines) io.print(line)
}
