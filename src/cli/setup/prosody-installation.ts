import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { basename, delimiter, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import * as z from 'zod/mini'
import type { Env } from '../../config/read-settings.js'
import { runProgram } from './run-program.js'
import { SetupFailure } from './setup-failure.js'

/** The name of the file that setup adds to the configuration of Prosody. */
export const COMPONENT_FILE = 'prosody-exporter.cfg.lua'

// util.json of Prosody writes an empty list as {}.
const LIST = <T extends z.core.$ZodType>(item: T) =>
  z.pipe(
    z.transform((value): unknown => (Array.isArray(value) ? value : [])),
    z.array(item),
  )

/** The format of the JSON that read-configuration.lua prints. */
const CONFIGURATION = z.object({
  version: z._default(z.string(), 'unknown'),
  config_file: z.string(),
  /** In the order of the configuration. `component` is the module of a component; a VirtualHost has none. */
  hosts: LIST(
    z.object({
      name: z.string(),
      component: z.optional(z.string()),
      has_secret: z.boolean(),
    }),
  ),
  /** The path at which the configuration includes the file of setup; `undefined` if it includes no directory. */
  included: z.optional(z.string()),
  statistics: z.optional(z.union([z.string(), z.boolean()])),
  statistics_interval: z.optional(z.union([z.string(), z.number(), z.boolean()])),
  component_ports: LIST(z.coerce.number()),
  component_interfaces: LIST(z.string()),
  has_plugin_paths: z.boolean(),
  plugin_paths: LIST(z.string()),
  /** All directories in which Prosody searches for modules, in the order of the search. */
  plugin_directories: LIST(z.string()),
  run_as_root: z.boolean(),
  /** The group of the process. */
  group: z.string(),
})

export type ProsodyConfiguration = Readonly<z.infer<typeof CONFIGURATION>>

export type ProsodyInstallation = {
  /**
   * Reads the configuration as Prosody would read it if the file of setup had this content. With `undefined`, as if the
   * file did not exist.
   *
   * @throws SetupFailure if Prosody cannot read its configuration.
   */
  readConfiguration(content: string | undefined): Promise<ProsodyConfiguration>
  /** Runs `prosodyctl check config`. Returns its exit code and the lines of its output. */
  checkConfiguration(): Promise<{ readonly code: number; readonly lines: readonly string[] }>
}

const USUAL_DIRECTORIES = ['/usr/local/sbin', '/usr/local/bin', '/usr/sbin', '/usr/bin']

/**
 * Finds the Prosody of this machine.
 *
 * @param directory The directory of main.js. `cli/setup` below it contains read-configuration.lua.
 * @throws SetupFailure if there is none.
 */
export function findProsodyInstallation(env: Env, directory: URL): ProsodyInstallation {
  const prosodyctl = findProsodyctl(env)
  const interpreter = readInterpreter(prosodyctl)
  const script = fileURLToPath(new URL('cli/setup/read-configuration.lua', directory))
  return {
    async readConfiguration(content) {
      const { stdout, output } = await runProgram(
        interpreter,
        [script, prosodyctl, COMPONENT_FILE, content === undefined ? 'without' : 'with'],
        { env, input: content ?? '' },
      )
      return parseConfiguration(stdout, output)
    },
    async checkConfiguration() {
      const { code, output } = await runProgram(prosodyctl, ['check', 'config'], { env })
      return { code, lines: output.split('\n').map((line) => line.trim()) }
    },
  }
}

function findProsodyctl(env: Env): string {
  const directories = [...(env['PATH'] ?? '').split(delimiter), ...USUAL_DIRECTORIES]
  const found = directories
    .filter((path) => path.startsWith('/'))
    .map((path) => join(path, 'prosodyctl'))
    .find((path) => existsSync(path))
  if (found !== undefined) return found
  const pid = findProsodyProcess()
  throw new SetupFailure(
    pid === undefined
      ? 'Prosody is not installed on this machine: there is no prosodyctl in PATH. Run setup on the machine that runs Prosody.'
      : `Prosody runs in a container (process ${pid}), and setup can configure only a Prosody of this machine. ` +
          'Follow docs/recipes/container.md instead.',
  )
}

/** Returns the id of a running process of Prosody, wherever it was started; `undefined` if there is none. */
function findProsodyProcess(): string | undefined {
  return readdirSync('/proc').find((pid) => {
    if (!/^\d+$/.test(pid)) return false
    try {
      const [program = '', script = ''] = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0')
      const isLua = basename(program).startsWith('lua')
      return basename(program) === 'prosody' || (isLua && basename(script) === 'prosody')
    } catch {
      return false // The process has ended.
    }
  })
}

/** Returns the Lua interpreter in the first line of prosodyctl, for example `lua5.4`. */
function readInterpreter(prosodyctl: string): string {
  const [firstLine = ''] = readFileSync(prosodyctl, 'utf8').split('\n', 1)
  const [, interpreter = ''] = /^#!\s*(?:\S*\/env\s+)?(\S+)/.exec(firstLine) ?? []
  if (basename(interpreter).startsWith('lua')) return interpreter
  throw new SetupFailure(
    `${prosodyctl} is not a Lua script, so setup cannot read the configuration of this Prosody. ` +
      'Configure it by hand: docs/install.md.',
  )
}

function parseConfiguration(stdout: string, output: string): ProsodyConfiguration {
  const unreadable = (reason: string) =>
    new SetupFailure(
      `Prosody cannot read its configuration: ${reason.trim()}. Correct that, and run setup again.`,
    )
  let json: unknown
  try {
    json = JSON.parse(stdout.trim().split('\n').at(-1) ?? '')
  } catch {
    throw unreadable(output.trim().split('\n').at(-1) ?? '')
  }
  const { data } = z.object({ problem: z.string() }).safeParse(json)
  if (data) throw unreadable(data.problem)
  return CONFIGURATION.parse(json)
}
