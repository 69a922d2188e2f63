import { escapeName, parseNumber, unescape } from '../../src/collectors/registry/registry-text.js'
import { DecodeError } from '../../src/errors.js'
import { escapeLabelValue } from '../../src/metrics/labels.js'
import { formatBound, formatValue } from '../../src/exposition/number.js'
import { must, refusing, type Target } from '../target.js'

/**
 * Parses numbers in unusual spellings, names and escaped texts. The exporter must read and write them without a change
 * of the value, or reject them.
 */
export const numbers: Target = {
  name: 'numbers',
  weight: 20,
  seeds: [
    '0',
    '-0',
    '1.5e-7',
    '-nan',
    'nan(0x1)',
    'Infinity',
    '+inf',
    '0x10',
    '\\x41\\xff\\t',
    'é/a.b',
  ],
  words: ['e', '+', '-', '.', 'nan', 'inf', 'infinity', '(', ')', '\\x', '\\n', '\\\\', '0', '9'],
  run(input) {
    const text = input.toString()
    const number = refusing([DecodeError], () => parseNumber(text))
    if (number !== undefined && /\d/.test(text) && !/^[+-]?nan/i.test(text)) {
      must(
        Object.is(number, Number(text)),
        `a parsed number must be exact: ${text} became ${number}`,
      )
    }
    const double = input.length >= 8 ? input.readDoubleLE() : (number ?? NaN)
    const shown = formatValue(double).replace('Inf', 'Infinity')
    must(
      Object.is(Number(shown), double),
      `a formatted value must read back the same: ${double} became ${shown}`,
    )
    const bound = formatBound(double).replace('Inf', 'Infinity')
    must(
      Object.is(Number(bound), double + 0),
      `a formatted bound must read back the same: ${double} became ${bound}`,
    )
    const name = escapeName(text)
    must(
      name === '' || /^[a-zA-Z_][a-zA-Z0-9_]*$/.test(name),
      `an escaped name must be valid: ${name}`,
    )
    const plain = unescape(text)
    must(!/\p{Cs}/u.test(plain), 'unescaped text must not have lone surrogates')
    must(
      !/[\n"]/.test(escapeLabelValue(plain).replace(/\\./g, '')),
      'an escaped label value must not have bare quotes or line feeds',
    )
  },
}
