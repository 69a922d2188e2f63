/**
 * `npm run docs`: writes docs/metrics.md, the manual page in deploy/man, the generated tables in the other pages of docs/,
 * and the links to docs/ in the alerts and the dashboard.
 */

import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { generatedPages } from './generated-docs.js'
import { root } from '../test/support/setup/process.js'

for (const [path, text] of await generatedPages()) writeFileSync(join(root, path), text)
