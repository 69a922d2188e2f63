import assert from 'node:assert/strict'
import { test } from 'node:test'
import { formatBound, formatValue } from '../../../src/exposition/number.js'

test('a sample value is written in the shortest form that a parser reads as the same number', () => {
  const forms: readonly (readonly [number, string])[] = [
    [0, '0'],
    [-0, '-0'],
    [1, '1'],
    [-1, '-1'],
    [0.1, '0.1'],
    [1e-7, '1e-7'],
    [2 ** 53, '9007199254740992'],
    [1e21, '1e+21'],
    [NaN, 'NaN'],
    [Infinity, '+Inf'],
    [-Infinity, '-Inf'],
  ]
  for (const [value, text] of forms) assert.equal(formatValue(value), text)
})

// The expected texts are those of Go's strconv.FormatFloat(f, 'g', -1, 64), with `.0` after an integer without
// exponent. Go writes an exponent of at least two digits for numbers from 1e6 on and below 1e-4.
test('the value of a label le or quantile is formatted as in the Go programs of Prometheus', () => {
  const forms: readonly (readonly [number, string])[] = [
    [0, '0.0'],
    [-0, '0.0'],
    [1, '1.0'],
    [-1, '-1.0'],
    [10, '10.0'],
    [0.005, '0.005'],
    [0.0001, '0.0001'],
    [0.00012, '0.00012'],
    [0.00001, '1e-05'],
    [0.000012, '1.2e-05'],
    [-0.00001, '-1e-05'],
    [100_000, '100000.0'],
    [123_456, '123456.0'],
    [999_999.5, '999999.5'],
    [1_000_000, '1e+06'],
    [1_234_567, '1.234567e+06'],
    [-1_000_000, '-1e+06'],
    [1e-10, '1e-10'],
    [1e21, '1e+21'],
    [1e100, '1e+100'],
    [1e-100, '1e-100'],
    [NaN, 'NaN'],
    [Infinity, '+Inf'],
    [-Infinity, '-Inf'],
  ]
  for (const [value, text] of forms) assert.equal(formatBound(value), text)
})
