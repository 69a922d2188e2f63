import {
  isAlias,
  isCollection,
  isMap,
  isScalar,
  isSeq,
  LineCounter,
  parseDocument,
  visit,
  type Document,
  type Node,
  type Pair,
  type YAMLError,
} from 'yaml'
import { ConfigError } from '../errors.js'
import { clip, quote } from './quote.js'

export type Path = readonly PropertyKey[]

/** A position in a YAML file. `source` is `FILE:LINE:COLUMN: KEY`; `offset` counts the characters before the position. */
export type YamlPosition = { readonly offset: number; readonly source: string }

export type YamlFile = {
  readonly value: unknown
  /** Returns the position of a value or of its key. A missing value has the position of the mapping around it. */
  place(path: Path, of?: 'value' | 'key'): YamlPosition
  /**
   * Describes a value for an error message, on one line. With `isTextHidden`, the result is `text` for any text and
   * `a number` for any number, because the value may be a secret.
   */
  describe(path: Path, isTextHidden: boolean): string
}

/** A parsed YAML document, with a function that formats positions for error messages. */
export type YamlSource = {
  readonly document: Document
  /** Returns the position of an offset. `path` is the KEY in `FILE:LINE:COLUMN: KEY`. */
  readonly place: (offset: number, path: Path) => YamlPosition
}

/**
 * Parses YAML, without checking its values.
 *
 * @param name The name of the file for messages.
 * @throws ConfigError for invalid YAML. The message contains no value of the file.
 */
export function parseSource(name: string, text: string): YamlSource {
  const lines = new LineCounter()
  const at = (offset: number, key: string) => {
    // For an empty file, the YAML library returns line 0 and column 0.
    const { line, col } = lines.linePos(offset)
    return `${name}:${Math.max(line, 1)}:${Math.max(col, 1)}: ${key}`
  }
  const document = parse(
    text,
    lines,
    (offset, problem) => new ConfigError(`${at(offset, 'YAML')}: ${problem}`),
  )
  return {
    document,
    place: (offset, path) => ({ offset, source: at(offset, formatPath(path)) }),
  }
}

/**
 * Reads YAML 1.2 with the position of each value. Aliases (`*name`) are refused, because no configuration file needs
 * them.
 *
 * @param name The name of the file for messages.
 * @throws ConfigError for invalid YAML, an alias, a duplicate key, and a key that is not a name. The message
 *   contains no value of the file.
 */
export function parseYaml(name: string, text: string): YamlFile {
  const { document, place } = parseSource(name, text)
  refuseAliasesAndDuplicates(
    document,
    (node, path, problem) => new ConfigError(`${place(startOf(node), path).source}: ${problem}`),
  )
  return {
    value: document.toJS() as unknown,
    place(path, of = 'value') {
      const { key, value } = find(document, path)
      return place(startOf(of === 'key' ? (key ?? value) : (value ?? key)), path)
    },
    describe(path, isTextHidden) {
      const { value, isMissing } = find(document, path)
      return isMissing === true ? 'nothing' : describeNode(value, isTextHidden)
    },
  }
}

function parse(
  text: string,
  lineCounter: LineCounter,
  problem: (offset: number, what: string) => ConfigError,
): Document {
  try {
    // The option `prettyErrors` of the library would quote a part of the file, which could be a secret.
    const options = { lineCounter, prettyErrors: false, uniqueKeys: false, version: '1.2' } as const
    const document = parseDocument(text, options)
    const [mistake] = [...document.errors, ...document.warnings].sort((a, b) => a.pos[0] - b.pos[0])
    if (mistake === undefined) return document
    // The library reports a missing closing bracket with BAD_INDENT, the code of a wrong indentation.
    const code = mistake.message.startsWith('Flow ') ? 'UNCLOSED' : mistake.code
    const [expected, got] = PROBLEMS[code] ?? ['valid YAML', describeCode(mistake)]
    throw problem(mistake.pos[0], `expected ${expected}, got ${got}`)
  } catch (error) {
    if (error instanceof RangeError) throw problem(0, 'expected fewer nested levels, got too many')
    throw error
  }
}

const PROBLEMS: Readonly<Record<string, readonly [string, string]>> = {
  TAB_AS_INDENT: ['spaces', 'a tab'],
  UNCLOSED: ['a closing } or ] and indented lines before it', 'none'],
  BAD_INDENT: ['an indentation that matches the lines above', 'another indentation'],
  BLOCK_AS_IMPLICIT_KEY: ['one "key: value" on each line', 'two on one line'],
  MULTIPLE_DOCS: ['one YAML document', 'several documents'],
  TAG_RESOLVE_FAILED: ['a value without a tag', 'an unsupported tag (!…)'],
  BAD_SCALAR_START: [
    'a value in quotes, because it starts with @, ` or %',
    'a value without quotes',
  ],
  BAD_DQ_ESCAPE: [
    'an escape sequence that YAML has, such as \\n',
    'an unknown escape sequence in double quotes',
  ],
  MISSING_CHAR: ['a colon after the key, or a closing quote or bracket', 'none'],
}

function describeCode({ code }: YAMLError): string {
  return code.toLowerCase().replaceAll('_', ' ')
}

function refuseAliasesAndDuplicates(
  document: Document,
  problem: (node: unknown, path: Path, what: string) => ConfigError,
): void {
  visit(document, {
    Alias: (key, node, parents) => {
      const path = [...buildPath(parents), ...(typeof key === 'number' ? [key] : [])]
      throw problem(node, path, 'expected a value, got an alias (*…)')
    },
    Map: (index, map, parents) => {
      const seen = new Set<string>()
      const path = [...buildPath(parents), ...(typeof index === 'number' ? [index] : [])]
      for (const { key } of map.items) {
        if (isAlias(key)) continue // the function `Alias` above refuses an alias as a key
        // A `!!binary` key is refused here, because `toJS` of the library would print its text in a warning.
        if (!isScalar(key) || ArrayBuffer.isView(key.value))
          throw problem(key, path, 'expected a name as the key, got another value')
        const name = String(key.value)
        if (seen.has(name)) throw problem(key, [...path, name], 'expected once, got twice')
        seen.add(name)
      }
    },
  })
}

// Returns the keys and indexes that lead to a node. The path includes the node's own key, but not its own index.
function buildPath(parents: readonly unknown[]): PropertyKey[] {
  return parents.flatMap((parent, i): PropertyKey[] => {
    const below = parents[i + 1]
    if (isSeq(parent) && below !== undefined) return [parent.items.indexOf(below)]
    const { key } = (parent ?? {}) as Partial<Pair>
    return isScalar(key) ? [String(key.value)] : []
  })
}

type FoundNode = { readonly key: unknown; readonly value: unknown; readonly isMissing?: boolean }

function find(document: Document, path: Path): FoundNode {
  let found: FoundNode = { key: undefined, value: document.contents }
  for (const step of path) {
    const { value } = found
    if (isMap(value)) {
      const pair = value.items.find(({ key }) => isScalar(key) && String(key.value) === step)
      // A missing key gets the position of the mapping that should have the key.
      if (pair === undefined) return { ...found, isMissing: true }
      found = { key: pair.key, value: pair.value }
    } else if (isSeq(value) && value.items[Number(step)] !== undefined) {
      found = { key: undefined, value: value.items[Number(step)] }
    } else return found
  }
  return found
}

/** Returns the number of characters before a node in the YAML text. */
export function startOf(node: unknown): number {
  return (node as Partial<Node> | null | undefined)?.range?.[0] ?? 0
}

function formatPath(path: Path): string {
  const keys = path.map((step) => {
    if (typeof step === 'number') return `[${step}]`
    const name = String(step)
    return `.${/^[\w-]{1,80}$/.test(name) ? name : quote(name)}`
  })
  return clip(keys.join('').replace(/^\./, '')) || 'the file'
}

/**
 * Describes the value of a node for an error message, on one line. With `isTextHidden`, the result is `text` for any
 * text and `a number` for any number, because the value may be a secret.
 */
export function describeNode(node: unknown, isTextHidden: boolean): string {
  if (isCollection(node)) return isSeq(node) ? 'a list' : 'a mapping'
  const value = isScalar(node) ? node.value : null
  if (value === null || value === undefined) return 'nothing'
  if (typeof value === 'string') return isTextHidden ? 'text' : quote(value)
  if (typeof value === 'boolean') return String(value)
  return isTextHidden || typeof value !== 'number' ? 'a number' : String(value)
}
