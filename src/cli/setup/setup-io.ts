import type { Env } from '../../config/read-settings.js'

/** What setup needs from the process that runs it. */
export type SetupIo = {
  readonly env: Env
  /** The numeric id of the user; `undefined` on a system without them. */
  readonly uid: number | undefined
  /** The path of Node.js. */
  readonly node: string
  /** The directory of main.js. */
  readonly directory: URL
  /** Whether a person at a terminal can answer questions. */
  readonly isInteractive: boolean
  readonly print: (line: string) => void
  /**
   * Asks a question on the terminal.
   *
   * @throws SetupInterruption if the user presses Ctrl-C or Ctrl-D.
   */
  readonly ask: (question: string) => Promise<string>
  /** Runs `prosody-exporter doctor` with this configuration file. Returns whether it found no failure. */
  readonly runDoctor: (
    configFile: string,
    print: (line: string) => void,
    flags?: readonly string[],
  ) => Promise<boolean>
}
