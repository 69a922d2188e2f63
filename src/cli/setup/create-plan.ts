import { randomBytes } from 'node:crypto'
import { existsSync, readFileSync } from 'node:fs'
import { ConfigError } from '../../errors.js'
import { DEFAULT_CONFIG_FILE as CONFIG_FILE } from '../doctor/default-config-file.js'
import { planUnit } from './exporter-service.js'
import {
  addRecipients,
  describeRecipients,
  readRecipients,
  type AlertRecipients,
} from './alert-recipients.js'
import { isFile } from './is-file.js'
import {
  needsAlertFiles,
  planAlertFiles,
  planExtension,
  renderAlertsSection,
  TOKEN_FILE,
} from './plan-alerts.js'
import {
  findRunningGroup,
  type ProsodyConfiguration,
  type ProsodyInstallation,
} from './prosody-installation.js'
import { hasSystemd } from './restart-prosody.js'
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
  planExporterFiles,
  planModule,
  proposeDomain,
  renderComponentFile,
  SECRET_FILE,
} from './setup-plan.js'
import type { SetupRecord } from './setup-record.js'
import { chooseAction, type PlannedFile } from './write-files.js'

/** The group of Debian's Alertmanager and Prometheus. */
const ALERTMANAGER_GROUP = 'prometheus'

/** Everything that setup will do, decided before it changes anything. */
export type Plan = {
  readonly domain: string
  readonly service: string
  readonly configuration: ProsodyConfiguration
  readonly componentFile: PlannedFile
  readonly files: readonly PlannedFile[]
  /** Whether the exporter sends alerts. */
  readonly hasAlerts: boolean
}

/**
 * Decides what setup will do. Asks for the domain of the component, if nothing else decides about it.
 *
 * @param previous What an earlier setup wrote.
 * @throws SetupFailure
 */
export async function createPlan(
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
  const secret = readCreated(SECRET_FILE, previous) ?? createSecret()
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
  // The file decides about alerts, and not the record: the operator may have removed the section or changed a recipient.
  const before = isFile(CONFIG_FILE) ? readRecipients(readFileSync(CONFIG_FILE, 'utf8')) : undefined
  const recipients = addRecipients(before ?? { to: [], rooms: [] }, flags.alerts, configuration)
  for (const line of describeRecipients(flags.alerts, recipients, { ...configuration, domain }))
    io.print(line)
  const own = planExporterFiles({ domain, service, secret }, renderAlertsSection(recipients))
  const hasAlertFiles = needsAlertFiles({ before, added: flags.alerts }, previous)
  const files = [
    ...moduleFiles,
    ...own.map((file) => extendIfEdited(file, flags, recipients, { domain, previous })),
    ...(hasAlertFiles ? await planToken(previous, io) : []),
    ...(hasSystemd() ? planUnit(io) : []),
    componentFile,
  ]
  const hasAlerts = before !== undefined || flags.alerts.length > 0
  return { domain, service, configuration, componentFile, files, hasAlerts }
}

/** With --alerts, setup also adds the alerts to a configuration that the operator has changed. */
function extendIfEdited(
  file: PlannedFile,
  { alerts }: SetupFlags,
  recipients: AlertRecipients,
  { domain, previous }: { domain: string; previous: SetupRecord | undefined },
): PlannedFile {
  const isEdited = file.path === CONFIG_FILE && chooseAction(file, previous) === 'keep'
  return isEdited && alerts.length > 0 ? planExtension(recipients, domain) : file
}

/** Plans the token of the alerts, which Debian's Alertmanager can read, and what lets the service read it. */
async function planToken(
  previous: SetupRecord | undefined,
  io: SetupIo,
): Promise<readonly PlannedFile[]> {
  return planAlertFiles({
    token: readCreated(TOKEN_FILE, previous) ?? createSecret(),
    groupId: await findGroupId(ALERTMANAGER_GROUP, io),
    hasService: hasSystemd(),
  })
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
  io.print('The exporter logs in to Prosody as a component. The name needs no DNS entry.')
  for (;;) {
    const answer = await io.ask(`Domain of the component [${proposed}]: `)
    if (answer === '') return proposed
    try {
      return parseSetupFlags([`--domain=${answer}`]).domain!
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error
      io.print(error.message.replace(/^--domain: e/, 'E'))
    }
  }
}

const createSecret = () => randomBytes(32).toString('hex')

// A second run keeps the secret and the token, so that it changes nothing.
function readCreated(file: string, previous: SetupRecord | undefined): string | undefined {
  if (!previous?.created.some(({ path }) => path === file)) return undefined
  return existsSync(file) ? readFileSync(file, 'utf8').trimEnd() : undefined
}

/** Finds the number of the group of Prosody, which must be able to read its configuration. */
async function findGroup({ run_as_root, group }: ProsodyConfiguration, io: SetupIo) {
  const running = findRunningGroup() ?? (await findServiceGroup(io))
  if (running !== undefined) return running
  if (run_as_root) return 0
  const id = await findGroupId(group, io)
  if (id !== undefined) return id
  throw new SetupFailure(
    `The group "${group}" does not exist, so Prosody could not read the file of setup. ` +
      'Correct prosody_group or prosody_user in prosody.cfg.lua, and run setup again.',
  )
}

/** Finds the group with which systemd starts Prosody; `undefined` if it starts Prosody as root. */
async function findServiceGroup(io: SetupIo): Promise<number | undefined> {
  if (!hasSystemd()) return undefined
  const run = async (command: string, ...args: string[]) =>
    (await runProgram(command, args, { env: io.env })).stdout.trim()
  const show = (name: string) =>
    run('systemctl', 'show', '--value', `--property=${name}`, 'prosody')
  const [user, group] = [await show('User'), await show('Group')]
  if (user === '' || user === 'root') return undefined
  if (group !== '') return await findGroupId(group, io)
  const id = await run('id', '-g', user)
  return id ? Number(id) : undefined
}

async function findGroupId(name: string, { env }: SetupIo): Promise<number | undefined> {
  const { code, stdout } = await runProgram('getent', ['group', name], { env })
  const id = Number(stdout.split(':')[2])
  return code === 0 && Number.isInteger(id) ? id : undefined
}
