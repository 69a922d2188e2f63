import { isAlias, isMap, isScalar, isSeq, type Alias, type Scalar, type YAMLMap } from 'yaml'
import { describeNode, startOf, type Path, type YamlSource } from '../config/parse-yaml.js'
import { ConfigError } from '../errors.js'

// Decodes YAML by the type that is wanted, as the exporter toolkit does with Go's yaml.v2 in strict mode:
// a header's value of `1` is a text, `yes` is true, and a key without a value has Go's zero value.

export type Decoder<T> = {
  /** The value of a key that has none: Go's zero value. */
  readonly zero: (node: unknown, at: DecodePosition) => T
  /** `into`: what an earlier merge key set; a mapping adds to it. */
  readonly decode: (node: unknown, at: DecodePosition, into: unknown) => T
}

/** Where the decoder is. */
export type DecodePosition = {
  readonly path: Path
  readonly reading: DecodeState
}

type DecodeState = {
  readonly source: YamlSource
  readonly offsets: Map<string, number>
  /** The aliases that are being followed. */
  readonly active: Set<Alias>
  nodes: number
}

export type Decoded<T> = {
  readonly value: T
  /** Names the place of a value, or of its key, or the nearest one above it. */
  readonly place: (path: Path, of?: 'value' | 'key') => string
}

// A merge key may name a mapping with merge keys, so a short file may have any number of values.
const MAX_NODES = 100_000

const STRING = 'tag:yaml.org,2002:str'
const NULL = 'tag:yaml.org,2002:null'
const TAGS = [STRING, NULL, ...['bool', 'int', 'float'].map((each) => `tag:yaml.org,2002:${each}`)]

/** @throws ConfigError for the first value that is wrong: where, and what was expected. */
export function decodeYaml<T>(source: YamlSource, decoder: Decoder<T>): Decoded<T> {
  const reading: DecodeState = { source, offsets: new Map(), active: new Set(), nodes: 0 }
  const root = source.document.contents
  // A file of comments only sets nothing.
  const value = isNull(root)
    ? ({} as T)
    : decodeNode(decoder, root, { path: [], reading }, undefined)
  return {
    value,
    place(path, of = 'value') {
      let known = path
      while (known.length > 0 && !reading.offsets.has(offsetKey(known, of)))
        known = known.slice(0, -1)
      return source.place(reading.offsets.get(offsetKey(known, of)) ?? 0, path).source
    },
  }
}

export function problemAt(
  node: unknown,
  { path, reading }: DecodePosition,
  what: string,
): ConfigError {
  return new ConfigError(`${reading.source.place(startOf(node), path).source}: ${what}`)
}

export function wrongKind(expected: string, node: unknown, at: DecodePosition): ConfigError {
  return problemAt(node, at, `expected ${expected}, got ${describeNode(node, true)}`)
}

/** Decodes a node, of an alias the node that it stands for. */
export function decodeNode<T>(
  decoder: Decoder<T>,
  node: unknown,
  at: DecodePosition,
  into: unknown,
): T {
  const { reading, path } = at
  if (++reading.nodes > MAX_NODES) {
    throw problemAt(node, at, 'expected few values, got very many by merge keys')
  }
  if (!isAlias(node)) {
    const key = offsetKey(path, 'value')
    if (!reading.offsets.has(key)) reading.offsets.set(key, startOf(node))
    return isNull(node) ? decoder.zero(node, at) : decoder.decode(node, at, into)
  }
  if (reading.active.has(node)) throw problemAt(node, at, 'expected a value, got one within itself')
  const target = node.resolve(reading.source.document)
  if (target === undefined) {
    throw problemAt(node, at, 'expected an anchor (&name) above the alias (*name), got none')
  }
  reading.active.add(node)
  const value = decodeNode(decoder, target, at, into)
  reading.active.delete(node)
  return value
}

function isNull(node: unknown): boolean {
  if (node === null || node === undefined) return true
  if (!isScalar(node)) return false
  if (node.tag !== undefined) return node.tag === NULL
  return node.type === 'PLAIN' && /^(?:|~|null|Null|NULL)$/.test(node.source ?? '')
}

/** A value's text, and whether it may be another type than text: it is neither quoted nor a block. */
export function scalarOf(node: unknown, at: DecodePosition, expected: string) {
  if (!isScalar(node)) throw wrongKind(expected, node, at)
  if (node.tag !== undefined && !TAGS.includes(node.tag)) {
    throw problemAt(node, at, 'expected a plain value, got a tag (!…) with no meaning here')
  }
  const isTyped = node.tag === undefined ? node.type === 'PLAIN' : node.tag !== STRING
  return { text: node.source ?? '', isTyped }
}

/** Decodes what a mapping's pairs are, the merge keys among them in their place, as yaml.v2 does. */
export function decodePairs(
  node: YAMLMap,
  at: DecodePosition,
  onPair: (name: string, value: unknown, place: DecodePosition, key: unknown) => void,
  onMerge: (node: unknown) => void,
): void {
  for (const { key, value } of node.items) {
    if (isScalar(key) && isMergeKey(key)) {
      for (const each of mergedNodes(value, at)) onMerge(each)
      continue
    }
    const name = decodeNode(keyName, key, at, undefined)
    const place = { ...at, path: [...at.path, name] }
    at.reading.offsets.set(offsetKey(place.path, 'key'), startOf(key))
    at.reading.offsets.set(offsetKey(place.path, 'value'), startOf(value ?? key))
    onPair(name, value, place, key)
  }
}

const keyName: Decoder<string> = {
  zero: () => '',
  decode(node, at) {
    if (isScalar(node)) return scalarOf(node, at, '').text
    throw problemAt(node, at, 'expected a name as the key, got another thing')
  },
}

function isMergeKey({ source, type, tag }: Scalar): boolean {
  return source === '<<' && tag === undefined && type === 'PLAIN'
}

/** The last first, because the first one counts. */
function mergedNodes(value: unknown, at: DecodePosition): unknown[] {
  const nodes: unknown[] = isSeq(value) ? [...value.items].reverse() : [value]
  for (const node of nodes) {
    const target = isAlias(node) ? node.resolve(at.reading.source.document) : node
    if (!isMap(target)) throw wrongKind('a mapping, or a list of them, to merge (<<)', target, at)
  }
  return nodes
}

function offsetKey(path: Path, of: 'value' | 'key'): string {
  return JSON.stringify([of, ...path])
}
