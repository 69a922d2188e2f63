import { createComparison } from '../../src/cli/compare/compare.js'
import { readExposition } from '../../src/cli/compare/read-exposition.js'
import { renderReport } from '../../src/cli/compare/compare-report.js'
import { parseSample } from '../../src/cli/compare/parse-sample.js'
import { ConfigError } from '../../src/errors.js'
import { checkRefusal, must, type Target } from '../target.js'

/**
 * Gives expositions of other exporters to the code of the command `compare`, and checks:
 * - The result does not depend on the chunks in which the exposition arrives.
 * - An exposition compared with itself has no missing series.
 * - A sample with an unquoted name that is written and read again stays the same.
 */
export const compare: Target = {
  name: 'compare',
  weight: 10,
  seeds: [
    '# TYPE a counter\na_total{b="c\\n",d="\\\\\\""} 1 2\n# EOF\n',
    'a { b = "c" , } -Inf\n\t# HELP a x\n# TYPE h histogram\nh_bucket{le="+Inf"} 1e3\n',
    '# TYPE h histogram\nh_bucket{le="1.0"} 2 1.5e3 # {id="# "} 0.5 1\n# UNIT x y\n# EOF\n',
    '{"a.b","c.d"="e",f="\\x"} -nan\n?\n',
  ],
  words: [
    ...['# TYPE ', '# HELP ', '# EOF\n', ' counter\n', '_total', '_created', '_bucket{', 'le="'],
    ...['="', '",', '"} ', ' 1\n', ' # {', '\\"', '\\\\', '\\n', '__name__', '{"', '+Inf', '1e3'],
  ],
  async run(input) {
    const [kind = 0, size = 0] = input
    const body = input.subarray(2)
    const isOpenMetrics = kind % 2 === 1
    const whole = await compareWithItself(body, body.length || 1, isOpenMetrics)
    const inPieces = await compareWithItself(body, 1 + (size % 16), isOpenMetrics)
    must(
      JSON.stringify(whole) === JSON.stringify(inPieces),
      'the result must not depend on the chunks',
    )
    if (typeof whole === 'string') return
    must(whole.missing === 0, 'an exposition must have all series of itself')
    must(
      /^[^\0-\x09\x0b-\x1f\x7f-\x9f]+$/.test(whole.text),
      'the report must not have control characters',
    )
    for (const line of body.toString('latin1').split('\n')) checkSample(line)
  },
}

/** @returns The number of missing series and the report, or the error message if `compare` rejects the exposition. */
async function compareWithItself(body: Buffer, pieceBytes: number, isOpenMetrics: boolean) {
  async function* pieces() {
    for (let at = 0; at < body.length; at += pieceBytes) {
      yield await Promise.resolve(body.subarray(at, at + pieceBytes))
    }
  }
  const comparison = createComparison()
  try {
    const old = await readExposition(pieces(), isOpenMetrics, comparison.old)
    const now = await readExposition(pieces(), isOpenMetrics, comparison.new)
    must(
      old.samples === now.samples,
      'an exposition must have the same number of samples as itself',
    )
    const result = comparison.result()
    const missing = result.families.reduce((sum, family) => sum + family.missing.length, 0)
    return { missing, text: renderReport({ comparison: result, old, new: now }) }
  } catch (error) {
    checkRefusal([ConfigError], error)
    return (error as ConfigError).message
  }
}

function checkSample(line: string): void {
  const sample = parseSample(line)
  if (sample === undefined || !/^[a-zA-Z_:][\w:]*$/.test(sample.name)) return
  const again = parseSample(`${sample.name}{${sample.labels}} ${sample.value}`)
  must(
    again !== undefined && again.labels === sample.labels,
    'labels must stay the same when read again',
  )
  // JavaScript writes -0 as 0, so -0 and 0 count as the same value. Adding 0 turns -0 into 0.
  must(Object.is(again.value + 0, sample.value + 0), 'the value must stay the same when read again')
}
