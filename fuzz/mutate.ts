import type { Random } from '../test/support/random.js'

const MAX_LENGTH = 4096

// These words often expose errors in parsers, whatever language they parse.
const WORDS = [
  ...['__proto__', 'constructor', 'toString', 'hasOwnProperty', '', '\0', '\n', '\r\n', '\t', ' '],
  ...['NaN', '-nan', 'inf', '+Inf', '-0', '0x10', '1e309', '5e-324', '1_000', '٣', '9007199254740993'],
  ...['-1', '2147483648', '4294967296', '99999999999999999999', '1e-7', '00', '.5', '5.'],
  ...['"', "'", '\\', '\\"', '{', '}', '[', ']', ',', ';', '=', ':', '#', '# EOF\n', '&amp;', '&#0;'],
  ...['\u2028', '\uFEFF', '\uFFFD', '\uFFFE', 'é', '😀', '\u0000', '\u202E', '%00', '%ff', '%'],
].map((word) => Buffer.from(word)) // prettier-ignore
const INVALID_UTF8 = [
  [0xff],
  [0xc0, 0x80],
  [0xed, 0xa0, 0x80],
  [0xf4, 0x90, 0x80, 0x80],
  [0xe2, 0x82],
].map((bytes) => Buffer.from(bytes))

type Mutation = (input: Buffer, random: Random, other: Buffer, words: readonly Buffer[]) => Buffer

function splice(input: Buffer, at: number, removed: number, put: Uint8Array): Buffer {
  return Buffer.concat([input.subarray(0, at), put, input.subarray(at + removed)])
}

/** Selects a random range of the input, usually of at most 8 bytes. */
function piece(input: Buffer, random: Random): [at: number, length: number] {
  const at = random.below(input.length + 1)
  const most = random.below(4) === 0 ? input.length - at : Math.min(8, input.length - at)
  return [at, random.below(most + 1)]
}

const MUTATIONS: readonly Mutation[] = [
  function flip(input, random) {
    if (input.length === 0) return input
    const at = random.below(input.length)
    return splice(input, at, 1, Buffer.of(input[at]! ^ (1 << random.below(8))))
  },
  (input, random) => splice(input, random.below(input.length + 1), 1, Buffer.of(random.below(256))),
  function remove(input, random) {
    const [at, length] = piece(input, random)
    return splice(input, at, length, Buffer.alloc(0))
  },
  function repeat(input, random) {
    const [at, length] = piece(input, random)
    const times = random.below(8) === 0 ? random.below(64) : 1
    const copy = input.subarray(at, at + length)
    const many = Array.from({ length: length * times > MAX_LENGTH ? 1 : times }, () => copy)
    return splice(input, at, 0, Buffer.concat(many))
  },
  function move(input, random) {
    const [at, length] = piece(input, random)
    return splice(input, random.below(input.length + 1), 0, input.subarray(at, at + length))
  },
  function word(input, random, _, words) {
    const [at, length] = piece(input, random)
    return splice(input, at, random.below(2) * length, random.pick(words))
  },
  function ownWord(input, random, _, words) {
    return splice(input, random.below(input.length + 1), 0, random.pick(words))
  },
  function common(input, random) {
    const put = random.pick(random.below(8) === 0 ? INVALID_UTF8 : WORDS)
    return splice(input, random.below(input.length + 1), random.below(2), put)
  },
  function cross(input, random, other) {
    const [at, length] = piece(other, random)
    return splice(input, random.below(input.length + 1), 0, other.subarray(at, at + length))
  },
  function number(input, random) {
    // One number in the input becomes a number that differs by at most 1, or one of `WORDS`.
    const found = [...input.toString('latin1').matchAll(/\d+/g)]
    const [match] = found.length > 0 ? [random.pick(found)] : []
    if (!match) return input
    const near = String(Number(match[0]) + random.below(3) - 1)
    const put = random.below(2) === 0 ? Buffer.from(near) : random.pick(WORDS)
    return splice(input, match.index, match[0].length, put)
  },
]

/** Makes one to eight small changes to an input. */
export function mutate(
  input: Buffer,
  random: Random,
  corpus: readonly Buffer[],
  words: readonly Buffer[],
): Buffer {
  let changed = input
  const own = words.length > 0 ? words : WORDS
  for (let left = 1 + random.below(8); left > 0; left--) {
    changed = random.pick(MUTATIONS)(changed, random, random.pick(corpus), own)
  }
  return changed.subarray(0, MAX_LENGTH)
}
