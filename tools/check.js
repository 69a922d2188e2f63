/**
 * `npm run check`: types, lint and format. The linter takes as long as the other checks together, so they run in
 * parallel to it. Types and format are cached in `.cache`; the linter is not, since a change of a type
 * in one file can make another one wrong.
 */

import { join } from 'node:path'
import process from 'node:process'
import { onEnd, root, run } from '../test/support/setup/process.js'

/** @type {readonly (readonly string[])[]} */
const REST = [
  ['tsc', '--noEmit', '--incremental', '--tsBuildInfoFile', '.cache/check.tsbuildinfo'],
  ['tsc', '--project', 'src/page/client'],
  ['prettier', '--check', '--cache', '--cache-location', '.cache/prettier', '.'],
]

/** @param {readonly string[]} command */
async function check([program = '', ...args]) {
  const bin = join(root, 'node_modules/.bin', program)
  const { code, output } = await run(bin, args, { cwd: root })
  // The linter's warnings are shown, too.
  if (code !== 0 || program === 'eslint') process.stderr.write(output)
  if (code === 0) return
  console.error(`${program} ${args.join(' ')} failed.`)
  process.exitCode = 1
}

onEnd(() => process.exit(130))
const linted = check(['eslint', '.'])
for (const command of REST) await check(command)
await linted
