/**
 * `npm publish` runs this script first. The script fails if package.json, or a link in the alerts or the dashboard, still
 * has a placeholder instead of a real author and repository.
 */

import { readFile } from 'node:fs/promises'
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
for (const path of ['deploy/prometheus/rules.yml', 'deploy/grafana/prosody.json']) {
  if (/https:\/\/[^/]*\.invalid\b/.test(await readFile(join(root, path), 'utf8'))) {
    console.error(`${path} has links with placeholders (.invalid). Run \`npm run docs\`.`)
    process.exitCode = 1
  }
}
