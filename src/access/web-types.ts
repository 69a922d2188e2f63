import { isMap, isSeq } from 'yaml'
import {
  decodeNode,
  decodePairs,
  createErrorAt,
  readScalar,
  createKindError,
  type Decoder,
  type DecodePosition,
} from './decode-fields.js'
import { parseGoDuration, parseGoInteger } from './go-values.js'

export const text: Decoder<string> = {
  zero: () => '',
  decode: (node, at) => readScalar(node, at, 'text').text,
}

/**
 * Decodes a text. A key without a value is `undefined` instead of an empty text, so that the default applies.
 */
export const optionalText: Decoder<string | undefined> = {
  zero: () => undefined,
  decode: text.decode,
}

// These are all spellings of the booleans of YAML 1.1.
const TRUE = /^(?:y|Y|yes|Yes|YES|true|True|TRUE|on|On|ON)$/
const FALSE = /^(?:n|N|no|No|NO|false|False|FALSE|off|Off|OFF)$/

export const flag: Decoder<boolean> = {
  zero: () => false,
  decode(node, at) {
    const { text, isTyped } = readScalar(node, at, 'true or false')
    if (isTyped && TRUE.test(text)) return true
    if (isTyped && FALSE.test(text)) return false
    throw createKindError('true or false', node, at)
  },
}

export const integer: Decoder<number> = {
  zero: () => 0,
  decode(node, at) {
    const { text, isTyped } = readScalar(node, at, 'a whole number')
    const number = isTyped ? parseGoInteger(text) : undefined
    if (number === undefined)
      throw createErrorAt(node, at, 'expected a whole number, got another text')
    return number
  },
}

const DURATION = 'a duration, for example 100ms'
const NANOSECONDS = 1e6

/** Decodes a duration, in milliseconds. Like in Go, a number without a unit is a number of nanoseconds. */
export const duration: Decoder<number> = {
  zero: () => 0,
  decode(node, at) {
    const { text, isTyped } = readScalar(node, at, DURATION)
    const number = isTyped ? parseGoInteger(text) : undefined
    const ms = number === undefined ? parseGoDuration(text) : number / NANOSECONDS
    if (ms === undefined) throw createErrorAt(node, at, `expected ${DURATION}, got another text`)
    return ms
  },
}

export function list<T>(item: Decoder<T>): Decoder<readonly T[] | undefined> {
  return {
    zero: () => undefined,
    decode(node, at) {
      if (!isSeq(node)) throw createKindError('a list', node, at)
      return node.items.map((each, i) =>
        decodeNode(item, each, { ...at, path: [...at.path, i] }, undefined),
      )
    },
  }
}

/**
 * Wraps a decoder so that a key without a value is an error. Otherwise a list of tokens or networks whose
 * entries were removed by mistake would let every client in.
 */
export function required<T>(expected: string, decoder: Decoder<T>): Decoder<T> {
  return {
    ...decoder,
    zero(node, at) {
      throw createKindError(expected, node, at)
    },
  }
}

/** Creates a decoder of a mapping that can have any keys. All values have the same type. */
export function record<T>(value: Decoder<T>): Decoder<ReadonlyMap<string, T> | undefined> {
  function decode(node: unknown, at: DecodePosition, into: unknown): ReadonlyMap<string, T> {
    if (!isMap(node)) throw createKindError('a mapping', node, at)
    const all = new Map(into as ReadonlyMap<string, T> | undefined)
    decodePairs(
      node,
      at,
      (name, child, place, key) => {
        const decoded = decodeNode(value, child, place, undefined)
        if (all.has(name)) throw createErrorAt(key, place, 'expected once, got twice')
        all.set(name, decoded)
      },
      (merged) => {
        for (const [name, each] of decodeNode(self, merged, at, all) ?? []) all.set(name, each)
      },
    )
    return all
  }
  const self: Decoder<ReadonlyMap<string, T> | undefined> = { zero: () => undefined, decode }
  return self
}

type Values<F> = { readonly [K in keyof F]?: F[K] extends Decoder<infer T> ? T : never }

/**
 * Creates a decoder of a mapping that can have only the given keys. A key that is missing in the file is
 * missing in the result.
 */
export function struct<F extends { readonly [K in keyof F]: Decoder<unknown> }>(
  fields: F,
): Decoder<Values<F>> {
  const zero: Decoder<Values<F>>['zero'] = (node, at) =>
    Object.fromEntries(
      Object.entries<Decoder<unknown>>(fields).map(([name, field]) => [name, field.zero(node, at)]),
    ) as Values<F>
  const self: Decoder<Values<F>> = { zero, decode }
  function decode(node: unknown, at: DecodePosition, into: unknown): Values<F> {
    if (!isMap(node)) throw createKindError('a mapping', node, at)
    const values: Record<string, unknown> = { ...(into as Values<F> | undefined) }
    const seen = new Set<string>()
    decodePairs(
      node,
      at,
      (name, child, place, key) => {
        if (!Object.hasOwn(fields, name)) {
          const known = Object.keys(fields).join(', ')
          throw createErrorAt(key, place, `expected one of ${known}, got an unknown key`)
        }
        if (seen.has(name)) throw createErrorAt(key, place, 'expected once, got twice')
        seen.add(name)
        values[name] = decodeNode(fields[name as keyof F], child, place, values[name])
      },
      (merged) => {
        Object.assign(values, decodeNode(self, merged, at, values))
      },
    )
    return values as Values<F>
  }
  return self
}
