#!/usr/bin/env node
/** The edge to the process: command line, environment, signals and exit codes. */
import { readdirSync, readFileSync } from 'node:fs'
import { setFlagsFromString } from 'node:v8'
import { readWebConfig } from './access/read-web-config.js'
import { readConfig, type Config } from './config/read-config.js'
import { ConfigError } from './errors.js'
import { readSettings, type Settings } from './config/flags.js'
import { createLogger } from './log/logger.js'
import type { ProcessUsage } from './metrics/own-families.js'
import { helpText } from './config/settings.js'

// The exporter and the commands are imported where they start, so that --help and --config.check load little.

const GRACE_MS = 5000
// With a thousand connections to list, figures for each of a thousand scrapes would take seconds.
const FIGURES_AGE_MS = 250
const WRONG_OPTION = 2
const WRONG_IN_CHECK = 1

// Who reads our log may go away before us: that is no reason to end.
process.stderr.on('error', () => undefined)
process.stdout.on('error', () => undefined)

const version = readVersion()
const owner = { env: process.env, uid: process.geteuid?.() }
let codeWhenWrong = WRONG_OPTION
const [command, ...operands] = process.argv.slice(2)
try {
  if (command === 'compare') {
    const { compareCommand } = await import('./cli/compare/compare-command.js')
    const { text, exitCode } = await compareCommand(operands)
    process.stdout.write(text)
    process.exitCode = exitCode
  } else if (command === 'doctor') await doctor(operands)
  else await serve()
} catch (error) {
  if (!(error instanceof ConfigError)) throw error
  process.stderr.write(`prosody-exporter: ${error.message}\n`)
  process.exitCode = codeWhenWrong
}

async function doctor(args: readonly string[]): Promise<void> {
  const { doctorCommand, SHOW_PROMETHEUS, SHOW_PROSODY } =
    await import('./cli/doctor/doctor-command.js')
  const isShow = (arg: string) => arg === SHOW_PROSODY || arg === SHOW_PROMETHEUS
  const settings = readSettings(
    args.filter((arg) => !isShow(arg)),
    process.env,
  )
  const print = (line: string) => process.stdout.write(`${line}\n`)
  process.exitCode = await doctorCommand(readChecked(settings), new Set(args.filter(isShow)), {
    version,
    owner,
    print,
  })
}

/** Reads the configuration, and checks the web configuration file that it names. */
function readChecked(settings: Settings, pid?: number): Config {
  const config = readConfig(settings, process.env, pid)
  if (config.web.configFile) readWebConfig(config.web.configFile)
  return config
}

async function serve(): Promise<void> {
  const settings = readSettings(process.argv.slice(2), process.env)
  const isCheck = settings.isSet('config.check')
  if (isCheck) codeWhenWrong = WRONG_IN_CHECK
  if (settings.isSet('help')) process.stdout.write(helpText())
  else if (settings.isSet('version')) process.stdout.write(`prosody-exporter ${version}\n`)
  else {
    const read = () => readChecked(settings, isCheck ? undefined : process.pid)
    const config = read()
    if (isCheck) process.stdout.write('prosody-exporter: the configuration is valid\n')
    else await run(config, read)
  }
}

async function run(config: Config, read: () => Config): Promise<void> {
  const { createExporter } = await import('./exporter.js')
  // V8 lets garbage grow to as much as what lives before it looks. What lives here is replaced at each
  // scrape: with a thousand servers that is 150 MB more, to save some hundredths of a core.
  setFlagsFromString('--heap-growing-percent=20')
  const log = createLogger(config.log, (line) => process.stderr.write(line))
  const bridge = createExporter(config, {
    log,
    version,
    processFigures: createProcessFigures(),
    umask: (mask) => process.umask(mask),
    readConfig: read,
    owner,
    pid: process.pid,
  })
  let stopping = false

  const crash = (error: unknown) => {
    const { message, stack } = error instanceof Error ? error : new Error(String(error))
    log.error('unexpected error, this is a bug', { error: message, stack })
    process.exit(1)
  }
  process.on('uncaughtException', crash)
  process.on('unhandledRejection', crash)

  const stop = (signal: NodeJS.Signals) => {
    if (stopping) process.exit(1)
    stopping = true
    log.info('stopping', { signal })
    // The last resort when something does not end within its bound.
    setTimeout(() => process.exit(1), 2 * GRACE_MS).unref()
    bridge.stop(GRACE_MS).then(() => process.exit(0), crash)
  }
  process.on('SIGTERM', stop)
  process.on('SIGINT', stop)
  process.on('SIGHUP', () => void bridge.reload())

  try {
    await bridge.start()
  } catch (error) {
    log.error('cannot start', { error: error instanceof Error ? error.message : String(error) })
    process.exit(1)
  }
}

function readVersion(): string {
  const file = readFileSync(new URL('../package.json', import.meta.url), 'utf8')
  return (JSON.parse(file) as { version: string }).version
}

function createProcessFigures(): () => ProcessUsage {
  const startTimeSeconds = Date.now() / 1000 - process.uptime()
  const maxFds = readMaxFds()
  const read = (): ProcessUsage => {
    const { user, system } = process.cpuUsage()
    return {
      cpuSeconds: (user + system) / 1e6,
      residentMemoryBytes: process.memoryUsage.rss(),
      startTimeSeconds,
      openFds: countOpenFds(),
      maxFds,
    }
  }
  let last = read()
  let readAt = performance.now()
  return () => {
    if (performance.now() - readAt < FIGURES_AGE_MS) return last
    last = read()
    readAt = performance.now()
    return last
  }
}

// Only Linux tells these two.
function countOpenFds(): number | undefined {
  try {
    return readdirSync('/proc/self/fd').length - 1 // less the one that lists them
  } catch {
    return undefined
  }
}

function readMaxFds(): number | undefined {
  try {
    const [, soft] =
      /^Max open files\s+(\d+)/m.exec(readFileSync('/proc/self/limits', 'utf8')) ?? []
    return soft === undefined ? undefined : Number(soft)
  } catch {
    return undefined
  }
}
