import { COMPONENT_FILE, type ProsodyInstallation } from './prosody-installation.js'
import { SetupFailure } from './setup-failure.js'

/** The line with which the operator includes the file of setup, if the configuration includes no directory. */
export const INCLUDE_LINE = `Include "${COMPONENT_FILE}"`

/**
 * Returns whether the configuration of Prosody names the file of setup. Without the file, Prosody then cannot start. A
 * wildcard, as in `Include "conf.d/*.cfg.lua"`, does not need the file.
 *
 * @throws SetupFailure if Prosody cannot read its configuration even with the file, so that the answer is unknown.
 */
export async function requiresComponentFile(prosody: ProsodyInstallation): Promise<boolean> {
  try {
    await prosody.readConfiguration(undefined)
    return false
  } catch (error) {
    if (!(error instanceof SetupFailure)) throw error
    await prosody.readConfiguration('')
    return true
  }
}
