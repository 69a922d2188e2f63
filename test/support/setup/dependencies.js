/** Prepares a fresh clone for `npm start` and `npm test`: installs the npm packages and builds `dist/`. */

import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import process from 'node:process'
import { root, runAttached, SetupError } from './process.js'

/**
 * Installs the npm packages if they are missing or older than the lock file.
 *
 * @param {(line: string) => void} say
 * @throws {SetupError}
 */
export async function installPackages(say) {
  // npm writes .package-lock.json last, so after an interrupted installation the file is missing or old.
  const installed = await modified('node_modules/.package-lock.json')
  if (installed >= (await modified('package-lock.json'))) return
  say('Installing npm packages (npm ci) …')
  if ((await npm('ci', '--no-audit', '--no-fund')) !== 0) {
    throw new SetupError('npm ci failed. Check that the npm registry is reachable.')
  }
}

/**
 * Builds `dist/` from `src/` if `dist/` is not up to date. An up-to-date `dist/` is not touched, because running
 * programs may use its files.
 *
 * @param {(line: string) => void} say
 * @throws {SetupError}
 */
export async function build(say) {
  const sources = await readdir(join(root, 'src'), { recursive: true })
  const inputs = [...sources.map((name) => join('src', name)), 'tsconfig.json']
  inputs.push('tools/build.js', 'package.json')
  const changed = Math.max(...(await Promise.all(inputs.map(modified))))
  // The build writes icon.svg last, so after a failed build the file is missing or old.
  if ((await modified('dist/page/client/icon.svg')) > changed) return
  say('Building dist/ (npm run build) …')
  if ((await npm('run', '--silent', 'build')) !== 0) throw new SetupError('The build failed.')
}

/**
 * Runs the npm that started this process, or else the npm in PATH.
 *
 * @param {...string} args
 * @returns {Promise<number>} The exit code.
 */
export function npm(...args) {
  const path = process.env.npm_execpath
  return path?.endsWith('.js')
    ? runAttached(process.execPath, [path, ...args])
    : runAttached('npm', args)
}

/** @param {string} file */
async function modified(file) {
  return await stat(join(root, file)).then(
    ({ mtimeMs }) => mtimeMs,
    () => -1,
  )
}
