/**
 * `npm run test:matrix`: tests the exporter with many versions of real XMPP servers, and compares the metrics of each
 * server with the table in docs/collectors.md. With `-- --write`, it writes that table. It also tests the systemd
 * service, and the installation by a new user, under a real systemd.
 */

import process from 'node:process'
import { fetchAll } from '../test/support/setup/programs.js'
import { ejabberdVersions, findEjabberd } from '../test/support/setup/ejabberd.js'
import { findCleanDebian, USERS_DEBIAN } from '../test/support/setup/clean-debian.js'
import { findProsody } from '../test/support/setup/installation.js'
import { onEnd, runTool } from '../test/support/setup/process.js'
import { runFiles } from './runner.js'
import { build, installPackages } from '../test/support/setup/dependencies.js'

/** @param {string} line */
const say = (line) => {
  console.log(`[matrix] ${line}`)
}

/** @param {readonly string[]} args */
async function matrix(args) {
  const unregister = onEnd(() => process.exit(130))
  await installPackages(say)
  await build(say)
  await fetchAll(say)
  await findProsody('newest', say)
  await findCleanDebian(USERS_DEBIAN, say)
  for (const version of ejabberdVersions) await findEjabberd(version, say)
  if (args.includes('--write')) process.env['MATRIX_WRITE'] = '1'
  // Only one test file runs at a time, because each test file starts many servers.
  const options = ['--concurrency=1', ...args.filter((arg) => arg.startsWith('--test-'))]
  return await runFiles(
    [
      'test/integration/legacy.test.ts',
      'test/integration/legacy-double.test.ts',
      'test/packaging/matrix/alert-flood.test.ts',
      'test/packaging/matrix/ejabberd-api.test.ts',
      'test/packaging/matrix/matrix.test.ts',
      'test/packaging/matrix/newest-counts.test.ts',
      'test/packaging/matrix/service.test.ts',
      'test/packaging/matrix/setup.test.ts',
      'test/packaging/matrix/socket.test.ts',
      'test/packaging/matrix/walk.test.ts',
    ],
    options,
    unregister,
  )
}

await runTool(matrix)
