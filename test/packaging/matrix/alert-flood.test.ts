// Tests the flood of test/robustness/hostile-alerts.test.ts with the other version of Prosody.

import { test } from 'node:test'
import { CALLS, floodExporter } from '../../robustness/hostile-alerts/flood.js'

test(`${CALLS} webhook calls need little memory, and every scrape is answered (Prosody 0.12.3)`, async (t) => {
  await floodExporter(t, '0.12.3')
})
