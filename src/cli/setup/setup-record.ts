import { readFileSync } from 'node:fs'
import * as z from 'zod/mini'
import { getErrorMessage } from '../../errors.js'
import { SetupFailure } from './setup-failure.js'

const RECORD_DIRECTORY = '/var/lib/prosody-exporter'
/** The file in which setup records what it wrote, for its next run and for `--undo`. */
export const RECORD_FILE = `${RECORD_DIRECTORY}/setup.json`

const RECORD = z.object({
  domain: z.string(),
  /**
   * Everything that setup created, in the order of creation. A directory has no checksum. `replaced` is the checksum of
   * the content that setup replaced last: if setup is killed before that, the file still has this content.
   */
  created: z.array(
    z.object({
      path: z.string(),
      sha256: z.optional(z.string()),
      replaced: z.optional(z.string()),
    }),
  ),
  /** Whether setup enabled the service, so that systemd starts it at boot. */
  hasEnabledService: z.boolean(),
  /** Whether Prosody has not been restarted since setup changed its configuration. */
  needsRestart: z.boolean(),
})

/** What setup did on this machine. It is written before the files, so that an interrupted setup can be undone. */
export type SetupRecord = Readonly<z.infer<typeof RECORD>>
export type CreatedPath = SetupRecord['created'][number]

/** @returns The record; `undefined` if setup did not run on this machine, or was undone. */
export function readRecord(): SetupRecord | undefined {
  let text: string
  try {
    text = readFileSync(RECORD_FILE, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw new SetupFailure(`Cannot read ${RECORD_FILE}: ${getErrorMessage(error)}.`)
  }
  try {
    return RECORD.parse(JSON.parse(text))
  } catch {
    throw new SetupFailure(
      `${RECORD_FILE} is damaged, so setup does not know which files it wrote. ` +
        'Remove them by hand as docs/install.md describes, and then this file.',
    )
  }
}

/** The order of the keys is always the same, so that a second run does not change the file. */
export const formatRecord = (record: SetupRecord) =>
  `${JSON.stringify(RECORD.parse(record), null, 2)}\n`
