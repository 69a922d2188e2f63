import { isAlias, isMap, isScalar, isSeq, type Alias, type Scalar, type YAMLMap } from 'yaml'
import { describeNode, startOf, type Path, type YamlSource } from '../config/parse-yaml.js'
import { ConfigError } from '../errors.js'

// This file decodes YAML by the expected type, like exporter-toolkit with Go's yaml.v2 in strict mode. For example,
// `1` is a text where a text is expected, `yes` means true, and a key without a value usually has Go's zero value:
// an empty text, 0 or false.

export type Decoder<T> = {
  /** Returns the result for a key without a value, which is usually Go's zero value: an empty text, 0 or false. */
  readonly zero: (node: unknown, at: DecodePosition) => T
  /**
   * @param into The value that an earlier merge key (`<<`) set. A decoder of a mapping adds its pairs to this
   *   value.
   */
  readonly decode: (node: unknown, at: DecodePosition, into: unknown) => T
}

/** The position of the decoder in the YAML document. */
export type DecodePosition = {
  readonly path: Path
  readonly state: DecodeState
}

type DecodeState = {
  readonly source: YamlSource
  /** The offset of each key and each value in the source, by the result of `createOffsetKey`. */
  readonly offsets: Map<string, number>
  /** The YAML aliases that are being resolved. An alias that occurs within its own value is an error. */
  readonly activeAliases: Set<Alias>
  nodeCount: number
}

export type Decoded<T> = {
  readonly value: T
  /**
   * Returns `FILE:LINE:COLUMN: KEY` for the value or the key at a path. If the file does not contain the path,
   * the line and column are those of its nearest parent in the file.
   */
  readonly place: (path: Path, of?: 'value' | 'key') => string
}

// The limit on decoded values. A short YAML file with nested merge keys or aliases can expand to any number of
// values.
const MAX_NODES = 100_000

const STRING = 'tag:yaml.org,2002:str'
const NULL = 'tag:yaml.org,2002:null'
const TAGS = [STRING, NULL, ...['bool', 'int', 'float'].map((each) => `tag:yaml.org,2002:${each}`)]

/**
 * @throws ConfigError for the first wrong value. The message has its place in the file, and what was expected.
 */
export function decodeYaml<T>(source: YamlSource, decoder: Decoder<T>): Decoded<T> {
  const state: DecodeState = {
    source,
    offsets: new Map(),
    activeAliases: new Set(),
    nodeCount: 0,
  }
  const root = source.document.contents
  // An empty file, and a file with comments only, are valid.
  const value = isNull(root) ? ({} as T) : decodeNode(decoder, root, { path: [], state }, undefined)
  return {
    value,
    place(path, of = 'value') {
      let known = path
      while (known.length > 0 && !state.offsets.has(createOffsetKey(known, of))) {
        known = known.slice(0, -1)
      }
      return source.place(state.offsets.get(createOffsetKey(known, of)) ?? 0, path).source
    },
  }
}

export function createErrorAt(
  node: unknown,
  { path, state }: DecodePosition,
  what: string,
): ConfigError {
  return new ConfigError(`${state.source.place(startOf(node), path).source}: ${what}`)
}

export function createKindError(expected: string, node: unknown, at: DecodePosition): ConfigError {
  return createErrorAt(node, at, `expected ${expected}, got ${describeNode(node, true)}`)
}

/** Decodes a YAML node. If the node is an alias, decodes the node to which the alias refers. */
export function decodeNode<T>(
  decoder: Decoder<T>,
  node: unknown,
  at: DecodePosition,
  into: unknown,
): T {
  const { state, path } = at
  if (++state.nodeCount > MAX_NODES) {
    throw createErrorAt(
      node,
      at,
      `expected at most ${MAX_NODES} values, got more by merge keys (<<) or aliases (*name)`,
    )
  }
  if (!isAlias(node)) {
    const key = createOffsetKey(path, 'value')
    if (!state.offsets.has(key)) state.offsets.set(key, startOf(node))
    return isNull(node) ? decoder.zero(node, at) : decoder.decode(node, at, into)
  }
  if (state.activeAliases.has(node))
    throw createErrorAt(node, at, 'expected a value, got an alias (*name) within its own value')
  const target = node.resolve(state.source.document)
  if (target === undefined) {
    throw createErrorAt(node, at, 'expected an anchor (&name) above the alias (*name), got none')
  }
  state.activeAliases.add(node)
  const value = decodeNode(decoder, target, at, into)
  state.activeAliases.delete(node)
  return value
}

function isNull(node: unknown): boolean {
  if (node === null || node === undefined) return true
  if (!isScalar(node)) return false
  if (node.tag !== undefined) return node.tag === NULL
  return node.type === 'PLAIN' && /^(?:|~|null|Null|NULL)$/.test(node.source ?? '')
}

/**
 * Returns the text of a scalar. `isTyped` is false if the scalar can only be a text, because it is quoted, is a
 * block or has the tag `!!str`.
 */
export function readScalar(node: unknown, at: DecodePosition, expected: string) {
  if (!isScalar(node)) throw createKindError(expected, node, at)
  if (node.tag !== undefined && !TAGS.includes(node.tag)) {
    throw createErrorAt(node, at, 'expected a value without a tag, got an unsupported tag (!…)')
  }
  const isTyped = node.tag === undefined ? node.type === 'PLAIN' : node.tag !== STRING
  return { text: node.source ?? '', isTyped }
}

/**
 * Calls `onPair` for each pair of a mapping, and `onMerge` for each mapping that a merge key (`<<`) adds, in
 * the order of the file, like Go's yaml.v2.
 */
export function decodePairs(
  node: YAMLMap,
  at: DecodePosition,
  onPair: (name: string, value: unknown, place: DecodePosition, key: unknown) => void,
  onMerge: (node: unknown) => void,
): void {
  for (const { key, value } of node.items) {
    if (isScalar(key) && isMergeKey(key)) {
      for (const each of listMergedNodes(value, at)) onMerge(each)
      continue
    }
    const name = decodeNode(keyName, key, at, undefined)
    const place = { ...at, path: [...at.path, name] }
    at.state.offsets.set(createOffsetKey(place.path, 'key'), startOf(key))
    at.state.offsets.set(createOffsetKey(place.path, 'value'), startOf(value ?? key))
    onPair(name, value, place, key)
  }
}

const keyName: Decoder<string> = {
  zero: () => '',
  decode(node, at) {
    if (isScalar(node)) return readScalar(node, at, '').text
    throw createErrorAt(node, at, 'expected a name as the key, got a list or a mapping')
  },
}

function isMergeKey({ source, type, tag }: Scalar): boolean {
  return source === '<<' && tag === undefined && type === 'PLAIN'
}

/**
 * Returns the mappings that a merge key (`<<`) adds, in reverse order. In YAML the first mapping of a list
 * overrides the others, so it must be decoded last.
 */
function listMergedNodes(value: unknown, at: DecodePosition): unknown[] {
  const nodes: unknown[] = isSeq(value) ? [...value.items].reverse() : [value]
  for (const node of nodes) {
    const target = isAlias(node) ? node.resolve(at.state.source.document) : node
    if (!isMap(target))
      throw createKindError('a mapping, or a list of them, to merge (<<)', target, at)
  }
  return nodes
}

function createOffsetKey(path: Path, of: 'value' | 'key'): string {
  return JSON.stringify([of, ...path])
}
