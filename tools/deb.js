/**
 * `npm run deb [-- DIRECTORY]`: builds the Debian package of the exporter in DIRECTORY, by default in the current
 * directory.
 */

import { cp } from 'node:fs/promises'
import { basename, join, resolve } from 'node:path'
import process from 'node:process'
import { packDebian } from './package.js'
import { onEnd, SetupError, temporaryDirectory } from '../test/support/setup/process.js'
import { installPackages } from '../test/support/setup/dependencies.js'

onEnd(() => process.exit(1))
try {
  await installPackages(console.log)
  const directory = await temporaryDirectory('prosody-exporter-deb')
  const built = await packDebian(directory.path)
  const target = join(resolve(process.argv[2] ?? '.'), basename(built))
  await cp(built, target)
  await directory.remove()
  console.log(target)
} catch (error) {
  if (!(error instanceof SetupError)) throw error
  console.error(error.message)
  process.exitCode = 1
}
