import { randomBytes } from 'node:crypto'
import { existsSync, readFileSync } from 'node:fs'
import { ConfigError } from '../../errors.js'
import { planUnit } from './exporter-service.js'
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
import type { PlannedFile } from './write-files.js'

/** Everything that setup will do, decided before it changes anything. */
export type Plan = {
  readonly domain: string
  readonly service: string
  readonly configuration: ProsodyConfiguration
  readonly componentFile: PlannedFile
  readonly files: readonly PlannedFile[]
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
