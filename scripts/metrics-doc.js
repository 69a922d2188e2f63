/** `npm run metrics-doc`: writes METRICS.md, what each metric means, from src/catalogue. */

import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { metricsDocument } from '../src/catalogue/document.js'
import { root } from './process.js'

writeFileSync(join(root, 'METRICS.md'), metricsDocument())
