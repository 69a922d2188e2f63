/**
 * `npm run check`: checks types, lint rules and format. The linter runs concurrently with the other checks, because it
 * takes as long as all of them. Results of the first type check and of the format check are cached in `.cache`. Lint
 * results are not cached, because a changed type can cause a lint error in another file.
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
  // The output is also shown if the command succeeds, because it may contain warnings of the linter.
  if (code !== 0 || program === 'eslint') process.stderr.write(output)
  if (code === 0) return
  console.error(`${program} ${args.join(' ')} failed.`)
  process.exitCode = 1
}

onEnd(() => process.exit(130))
const linted = check(['eslint', '.'])
for (const command of REST) await check(command)
await linted
