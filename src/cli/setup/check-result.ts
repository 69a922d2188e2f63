import { readFileSync } from 'node:fs'
import type { Plan } from './create-plan.js'
import type { ProsodyInstallation } from './prosody-installation.js'
import { INCLUDE_LINE, requiresComponentFile } from './required-file.js'
import { SetupFailure } from './setup-failure.js'
import type { SetupFlags } from './setup-flags.js'
import type { SetupIo } from './setup-io.js'
import { checkComponent } from './setup-plan.js'
import type { WrittenFiles } from './write-files.js'

/** If the configuration of Prosody includes no directory, waits until the operator has included the file. */
export async function waitForInclude(
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
export async function checkResult(
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
    if (isNew(componentFile.path) && (await mayBeRequired(prosody))) {
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
export async function mayBeRequired(prosody: ProsodyInstallation): Promise<boolean> {
  try {
    return await requiresComponentFile(prosody)
  } catch (error) {
    if (error instanceof SetupFailure) return true
    throw error
  }
}
