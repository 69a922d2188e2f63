/**
 * `npm run deb [-- DIRECTORY]`: builds the Debian package of the exporter in DIRECTORY, by default in the current
 * directory.
 */

import { cp } from 'node:fs/promises'
import { basename, join, resolve } from 'node:path'
import process from 'node:process'
import { packDebian } from './package.js'
import { onEnd, runTool, temporaryDirectory } from '../test/support/setup/process.js'
import { installPackages } from '../test/support/setup/dependencies.js'

onEnd(() => process.exit(1))
await runTool(async ([directory = '.']) => {
  await installPackages(console.log)
  const temporary = await temporaryDirectory('prosody-exporter-deb')
  const built = await packDebian(temporary.path)
  const target = join(resolve(directory), basename(built))
  await cp(built, target)
  await temporary.remove()
  console.log(target)
  return 0
})
