/** `npm run docs`: writes docs/metrics.md, the manual page in deploy/man, and the generated tables in the other pages of docs/. */

import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { generatedPages } from './generated-docs.js'
import { root } from '../test/support/setup/process.js'

for (const [path, text] of await generatedPages()) writeFileSync(join(root, path), text)
