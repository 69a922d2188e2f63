import { escapeName, parseNumber, unescape } from '../../src/collectors/registry/registry-text.js'
import { DecodeError } from '../../src/errors.js'
import { escapeLabelValue } from '../../src/metrics/family.js'
import { formatBound, formatValue } from '../../src/exposition/number.js'
import { must, refusing, type Target } from '../target.js'

/** Numbers in every odd spelling, names and escaped text: as Prometheus and C have them, or refused. */
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
      must(Object.is(number, Number(text)), `${text} is ${Number(text)}, not ${number}`)
    }
    const double = input.length >= 8 ? input.readDoubleLE() : (number ?? NaN)
    const shown = formatValue(double).replace('Inf', 'Infinity')
    must(Object.is(Number(shown), double), `${double} is read back, not ${shown}`)
    const bound = formatBound(double).replace('Inf', 'Infinity')
    must(Object.is(Number(bound), double + 0), `the bound ${double} is read back, not ${bound}`)
    const name = escapeName(text)
    must(name === '' || /^[a-zA-Z_][a-zA-Z0-9_]*$/.test(name), `a name, not ${name}`)
    const plain = unescape(text)
    must(!/\p{Cs}/u.test(plain), 'a string of whole characters')
    must(
      !/[\n"]/.test(escapeLabelValue(plain).replace(/\\./g, '')),
      'a value that stays in its quotes',
    )
  },
}
