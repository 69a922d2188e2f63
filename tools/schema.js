/** `npm run schema`: writes config.schema.json, the JSON Schema of the configuration file for editors. */

import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { formatJsonSchema } from '../src/config/config-file-schema.js'
import { root } from '../test/support/setup/process.js'

writeFileSync(join(root, 'config.schema.json'), formatJsonSchema())
