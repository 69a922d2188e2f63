import { createRegistryTables } from '../../src/collectors/registry/registry-lines.js'
import { DecodeError } from '../../src/errors.js'
import { refusing, type Target } from '../target.js'
import { checkExposition } from './check-exposition.js'

const LINES = [
  'F\t1\tcounter\tprosody_mod_c2s/connections\t\tHow many.\t2\thost\ttype',
  'S\t1\t1\t1700000000.5\texample.com\tc2s\t17',
  'S\t2\t1\t\ta"b\\n\t\\xff\t0',
  'F\t2\thistogram\tdelay\tseconds\t\t1\thost\t0.1\t1\tinf',
  'S\t3\t2\t\texample.com\t1.5\t3\t1\t2\t3',
  'F\t3\tsummary\tsize\tbytes\tS\t0\t0.5\t0.9',
  'S\t4\t3\t\t10\t3\t2\tnan',
  'F\t4\tgauge\tload\t\t\t0',
  'S\t5\t4\t\t-0.5',
  'X\t6\t4',
  '5\t-nan',
  '1\t18',
]

/**
 * Decodes successive pages of lines from the statistics registry. The pages must lead to tables with valid
 * expositions, or to a DecodeError.
 */
export const registryLines: Target = {
  name: 'registry-lines',
  weight: 8,
  seeds: [LINES.join('\n'), LINES.join('\n\f'), ...LINES.map((line) => `${LINES[0]!}\n${line}`)],
  words: [
    ...['\t', '\n', '\f', 'F\t', 'S\t', 'X\t', 'counter', 'gauge', 'histogram', 'summary', 'le'],
    ...['quantile', '__name__', '_total', '_created', '_bucket', 'inf', '\\x00', '\\t', '\t\t1\t'],
    ...LINES,
  ],
  async run(input) {
    const filter = {
      drop: [{ family: /^x$/, labels: new Map([['host', /^a$/]]) }],
      labelValueLength: 200,
      maxSeries: 10,
    }
    const tables = createRegistryTables(filter)
    for (const page of input.toString().split('\f')) {
      refusing([DecodeError], () => {
        tables.apply(page, 1, 50)
      })
      tables.settle()
      tables.invalid()
      tables.describe(1)
    }
    await checkExposition(Array.from(tables.sources(), ({ table }) => table.snapshot()))
  },
}
