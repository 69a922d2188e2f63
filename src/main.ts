#!/usr/bin/env node
/**
 * The entry point of the exporter. Only this file uses `process`: the command line, the environment, signals and exit
 * codes. Each command imports only the modules that it needs, so that `--version` and `--help` are fast.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { setFlagsFromString } from 'node:v8'
import type { CommandName } from './cli/commands.js'
import type { Config } from './config/read-config.js'
import type { Settings } from './config/read-settings.js'
import { ConfigError, getErrorMessage } from './errors.js'
import type { ProcessUsage } from './metrics/own-families.js'

const GRACE_MS = 5000
// The resource usage of this process is measured again after 250 ms at the earliest. To count a thousand open file
// descriptors for each of a thousand concurrent scrapes would take seconds.
const MAX_USAGE_AGE_MS = 250
const EXIT_INVALID_CONFIG = 2
const EXIT_FAILED_CHECK = 1
const EXIT_FAILED_SETUP = 1

// Ignores errors such as EPIPE. The exporter continues when the program that reads its output or its log has ended.
process.stderr.on('error', () => undefined)
process.stdout.on('error', () => undefined)

const version = readVersion()
const owner = { env: process.env, uid: process.geteuid?.() }
let invalidConfigExitCode = EXIT_INVALID_CONFIG
const args = process.argv.slice(2)
try {
  await runCommand()
} catch (error) {
  if (!(error instanceof ConfigError)) throw error
  process.stderr.write(`prosody-exporter: ${error.message}\n`)
  process.exitCode = invalidConfigExitCode
}

async function runCommand(): Promise<void> {
  const [first, ...operands] = args
  if (args.length === 1 && /^--?version$/.test(first!)) printVersion()
  else if (first !== undefined && !first.startsWith('-')) await runNamedCommand(first, operands)
  else if (first === undefined && !hasVariables(process.env)) {
    throw new ConfigError(
      'no server is configured. To set up the exporter on the machine that runs Prosody, run ' +
        '"prosody-exporter setup" as root. For all commands and flags, run "prosody-exporter --help".',
    )
  } else await serveOrCheck()
}

async function runNamedCommand(first: string, operands: readonly string[]): Promise<void> {
  const { findCommand } = await import('./cli/commands.js')
  const { name } = findCommand(first)
  const run: Readonly<Record<CommandName, (operands: readonly string[]) => Promise<void>>> = {
    setup,
    doctor,
    outside,
    compare,
    help,
  }
  const isHelpFlag = (arg: string) => /^(?:-h|--?help)$/.test(arg)
  await (operands.some(isHelpFlag) ? help([name]) : run[name](operands))
}

/** Whether an environment variable sets an option of the exporter. Empty variables are ignored. */
function hasVariables(env: NodeJS.ProcessEnv): boolean {
  return Object.entries(env).some(([name, text]) => name.startsWith('PROSODY_EXPORTER_') && text)
}

async function help([name, ...more]: readonly string[] = []): Promise<void> {
  const { findCommand } = await import('./cli/commands.js')
  const { formatCommandHelp, formatHelp } = await import('./cli/format-help.js')
  if (more.length > 0) throw new ConfigError('help: expected at most one command')
  process.stdout.write(name === undefined ? formatHelp() : formatCommandHelp(findCommand(name)))
}

function printVersion(): void {
  process.stdout.write(`prosody-exporter ${version}\n`)
}

async function compare(operands: readonly string[]): Promise<void> {
  const { compareCommand } = await import('./cli/compare/compare-command.js')
  const { text, exitCode } = await compareCommand(operands)
  process.stdout.write(text)
  process.exitCode = exitCode
}

async function outside(operands: readonly string[]): Promise<void> {
  const { outsideCommand } = await import('./cli/outside/outside-command.js')
  const { createDomainChecker } = await import('./cli/outside/domain-checker.js')
  const controller = new AbortController()
  let endedBy: NodeJS.Signals | undefined
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.once(signal, () => {
      endedBy = signal
      controller.abort()
    })
  }
  const { isTTY, columns } = process.stderr
  try {
    process.exitCode = await outsideCommand(operands, {
      print: (text) => process.stdout.write(text),
      showProgress: isTTY
        ? (text) => process.stderr.write(`\r\x1b[K${text.slice(0, columns - 1)}`)
        : undefined,
      check: createDomainChecker({
        extraCaFile: process.env['NODE_EXTRA_CA_CERTS'],
        signal: controller.signal,
      }),
    })
  } catch (error) {
    if (endedBy === undefined) throw error
    // The connections are closed. The default action of the signal tells the shell why the command ended.
    process.kill(process.pid, endedBy)
  }
}

async function setup(operands: readonly string[]): Promise<void> {
  const { setupCommand } = await import('./cli/setup/setup-command.js')
  const { SetupFailure } = await import('./cli/setup/setup-failure.js')
  const { ask, INTERRUPTED } = await import('./cli/setup/ask.js')
  const { stdin: input, stdout: output } = process
  const fail = (message: string) => {
    process.stderr.write(`prosody-exporter: ${message}\n`)
    process.exit(EXIT_FAILED_SETUP)
  }
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
    process.on(signal, () => {
      fail(INTERRUPTED)
    })
  }
  try {
    process.exitCode = await setupCommand(operands, {
      env: process.env,
      uid: process.geteuid?.(),
      node: process.execPath,
      directory: new URL('./', import.meta.url),
      isInteractive: input.isTTY && output.isTTY,
      print: (line) => output.write(`${line}\n`),
      ask: (question) => ask({ input, output }, question),
      // The service does not have the variables of the shell in which setup runs.
      runDoctor: async (file, print, flags = []) =>
        (await runDoctor([`--config.file=${file}`, ...flags], print, {})) === 0,
    })
  } catch (error) {
    if (!(error instanceof SetupFailure)) throw error
    fail(error.message)
  }
}

async function doctor(operands: readonly string[]): Promise<void> {
  process.exitCode = await runDoctor(operands, (line) => process.stdout.write(`${line}\n`))
}

async function runDoctor(
  operands: readonly string[],
  print: (line: string) => void,
  env: NodeJS.ProcessEnv = process.env,
): Promise<number> {
  const { doctorCommand, DOCTOR_FLAGS } = await import('./cli/doctor/doctor-command.js')
  const { addDefaultConfigFile } = await import('./cli/doctor/default-config-file.js')
  const { readSettings, readValue } = await import('./config/read-settings.js')
  const settings = readSettings(
    operands.filter((arg) => !DOCTOR_FLAGS.includes(arg)),
    env,
  )
  const flags = new Set(operands.filter((arg) => DOCTOR_FLAGS.includes(arg)))
  const config = await readChecked(addDefaultConfigFile(settings), { env })
  const usesSystemdSocket = readValue(settings, 'web.systemd-socket')
  return await doctorCommand(config, flags, { version, owner, print, usesSystemdSocket })
}

async function serveOrCheck(): Promise<void> {
  const { readSettings } = await import('./config/read-settings.js')
  const settings = readSettings(args, process.env)
  if (settings.isSet('help')) {
    await help()
  } else if (settings.isSet('version')) {
    printVersion()
  } else if (settings.isSet('config.check')) {
    invalidConfigExitCode = EXIT_FAILED_CHECK
    await readChecked(settings)
    process.stdout.write('prosody-exporter: the configuration is valid\n')
  } else {
    const read = () => readChecked(settings, { pid: process.pid })
    await serve(await read(), read)
  }
}

/**
 * Reads the configuration and the files that it names, and checks the web configuration file.
 *
 * @param options.pid The id of the process that will listen. Omit it if the command only checks the configuration.
 * @param options.env The environment, which may have the secret. Default: that of this process.
 * @throws ConfigError
 */
async function readChecked(
  settings: Settings,
  { pid, env = process.env }: { pid?: number; env?: NodeJS.ProcessEnv } = {},
): Promise<Config> {
  const { readConfig } = await import('./config/read-config.js')
  const [path] = settings.all('config.file')
  let file
  // The YAML parser is imported only if there is a configuration file.
  if (path) file = (await import('./config/read-config-file.js')).readConfigFile(path)
  const config = readConfig(settings, { file, env, pid })
  const { configFile } = config.web
  if (configFile) (await import('./access/read-web-config.js')).readWebConfig(configFile)
  return config
}

async function serve(config: Config, read: () => Promise<Config>): Promise<void> {
  limitHeapGrowth()
  const { createExporter } = await import('./exporter.js')
  const { createLogger } = await import('./log/logger.js')
  const log = createLogger(config.log, (line) => process.stderr.write(line))
  const exporter = await createExporter(config, {
    log,
    version,
    readProcessUsage: createProcessUsageReader(),
    umask: (mask) => process.umask(mask),
    readConfig: read,
    owner,
    pid: process.pid,
    // Node.js reads this file too, but not for a TLS context with its own list of certificates.
    extraCaFile: process.env['NODE_EXTRA_CA_CERTS'] || undefined,
    directory: new URL('./', import.meta.url),
  })
  let isStopping = false

  const crash = (error: unknown) => {
    const { message, stack } = error instanceof Error ? error : new Error(String(error))
    log.error('unexpected error; this is a bug in the exporter, please report it', {
      error: message,
      stack,
    })
    process.exit(1)
  }
  process.on('uncaughtException', crash)
  process.on('unhandledRejection', crash)

  const stop = (signal: NodeJS.Signals) => {
    if (isStopping) process.exit(1)
    isStopping = true
    log.info('stopping', { signal })
    // This timer ends the process if `exporter.stop` takes twice as long as intended.
    setTimeout(() => process.exit(1), 2 * GRACE_MS).unref()
    exporter.stop(GRACE_MS).then(() => process.exit(0), crash)
  }
  process.on('SIGTERM', stop)
  process.on('SIGINT', stop)
  process.on('SIGHUP', () => void exporter.reload())

  try {
    await exporter.start()
  } catch (error) {
    log.error('the exporter cannot start', { error: getErrorMessage(error) })
    process.exit(1)
  }
}

/**
 * Keeps garbage small, because the exporter replaces most of its objects with each scrape. By default, V8 lets
 * the heap grow to twice the size of the live objects, and the space for new objects to 16 MB. That costs 5 to
 * 30 MB, and 150 MB with a thousand servers. It saves some hundredths of a core.
 */
function limitHeapGrowth(): void {
  setFlagsFromString('--heap-growing-percent=20')
  setFlagsFromString('--semi-space-growth-factor=1')
}

function readVersion(): string {
  const file = readFileSync(new URL('../package.json', import.meta.url), 'utf8')
  return (JSON.parse(file) as { version: string }).version
}

/** @returns A function that returns the resource usage of this process. The values are at most 250 ms old. */
function createProcessUsageReader(): () => ProcessUsage {
  const startTimeSeconds = Date.now() / 1000 - process.uptime()
  const maxFds = readMaxFds()
  const measure = (): ProcessUsage => {
    const { user, system } = process.cpuUsage()
    return {
      cpuSeconds: (user + system) / 1e6,
      residentMemoryBytes: process.memoryUsage.rss(),
      startTimeSeconds,
      openFds: countOpenFds(),
      maxFds,
    }
  }
  let last = measure()
  let measuredAt = performance.now()
  return () => {
    if (performance.now() - measuredAt < MAX_USAGE_AGE_MS) return last
    last = measure()
    measuredAt = performance.now()
    return last
  }
}

// Returns undefined on systems other than Linux, which do not have /proc/self/fd.
function countOpenFds(): number | undefined {
  try {
    return readdirSync('/proc/self/fd').length - 1 // without the descriptor that lists this directory
  } catch {
    return undefined
  }
}

// Returns undefined if there is no limit, and on systems other than Linux, which do not have /proc/self/limits.
function readMaxFds(): number | undefined {
  try {
    const [, soft] =
      /^Max open files\s+(\d+)/m.exec(readFileSync('/proc/self/limits', 'utf8')) ?? []
    return soft === undefined ? undefined : Number(soft)
  } catch {
    return undefined
  }
}
