/**
 * `npm publish` runs this script first. The script fails if package.json still has placeholders instead of a real
 * author and repository.
 */

import { join } from 'node:path'
import process from 'node:process'
import { readJson } from './package-texts.js'
import { root } from '../test/support/setup/process.js'

const { author, homepage, repository, bugs } = await readJson(join(root, 'package.json'))
if (/\.invalid\b/.test(JSON.stringify({ author, homepage, repository, bugs }))) {
  console.error(
    'package.json has placeholders (.invalid) in author, homepage, repository or bugs. ' +
      'Fill them in first, see docs/releasing.md.',
  )
  process.exitCode = 1
}
