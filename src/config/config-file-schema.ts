import * as z from 'zod/mini'
import { describeSetting } from './format-help.js'
import { joinWithOr, type Kind } from './kinds.js'
import { SETTINGS, type Setting } from './settings.js'

// The schema checks types only, so that no message can show a value that may be a secret. The `parse` functions
// of the settings check the values. The patterns are for editors.

function withDescription<T extends z.ZodMiniType>(description: string, type: T) {
  const schema = z.optional(type)
  z.globalRegistry.add(schema, { description })
  return schema
}

/** A mapping or list. Without a value, for example with all its lines commented out, it counts as missing. */
const section = <T extends z.ZodMiniType>(description: string, type: T) =>
  withDescription(
    description,
    z.pipe(
      z.nullable(type),
      z.transform((value) => value ?? undefined),
    ),
  )

const text = (pattern?: RegExp) =>
  z.string().register(z.globalRegistry, pattern ? { pattern: pattern.source } : {})
const wholeNumber = (minimum?: number) =>
  minimum === undefined ? z.int() : z.int().check(z.minimum(minimum))

const dropRule = z.strictObject({
  family: z.string().register(z.globalRegistry, {
    pattern: '.',
    description:
      'Regular expression for the whole name of the family; for a counter with or without _total.',
  }),
  labels: section(
    'Label names, each with a regular expression for the whole value. A series is dropped if all ' +
      'match; a missing label is empty. Default: the whole family.',
    z.record(z.string().check(z.regex(/^[a-zA-Z_][a-zA-Z0-9_]*$/)), z.string()),
  ),
})

const server = z.strictObject({
  name: withDescription(
    'Unique name of the server in /probe and in labels. Default: its domain.',
    text(/^[^\s]{1,100}$/),
  ),
  ...buildKeys('servers[]'),
  collectors: section(
    'Sources of statistics, each on (true) or off (false).',
    z.strictObject(buildKeys('servers[].collectors')),
  ),
})

/** The configuration file: sections of settings from the table, and the structures that are not settings. */
export const configSchema = z
  .strictObject({
    servers: section('Servers to monitor.', z.array(server).check(z.minLength(1))),
    collection: section(
      'Time and duration of collections.',
      z.strictObject(buildKeys('collection')),
    ),
    exposition: section('Content of a response.', z.strictObject(buildKeys('exposition'))),
    registry: section(
      "Prosody's own statistics.",
      z.strictObject({ drop: section('Families and series to drop.', z.array(dropRule)) }),
    ),
    web: section('HTTP server; read at the start only.', z.strictObject(buildKeys('web'))),
    page: section('The page at /.', z.strictObject(buildKeys('page'))),
    limits: section('Upper limits.', z.strictObject(buildKeys('limits'))),
  })
  .register(z.globalRegistry, { title: 'Configuration file of prosody-exporter' })

/** The types of the keys directly in a section, from the table of settings. */
function buildKeys(path: string): Record<string, z.ZodMiniType> {
  const types: Record<string, z.ZodMiniType> = {}
  for (const setting of SETTINGS) {
    const { key = '' } = setting
    const end = key.lastIndexOf('.')
    if (end > 0 && key.slice(0, end) === path) types[key.slice(end + 1)] = buildType(setting)
  }
  return types
}

function buildType(setting: Setting): z.ZodMiniType {
  const { kind, isRepeatable, isListOptional } = setting
  const description = describeSetting(setting)
  const one = buildValueType(kind)
  if (isListOptional) {
    return withDescription(
      description,
      z.union([one, z.array(buildValueType(kind)).check(z.minLength(1))]),
    )
  }
  if (isRepeatable) return section(description, z.array(one))
  return withDescription(description, one)
}

function buildValueType({ type, pattern, choices, minimum }: Kind): z.ZodMiniType {
  switch (type) {
    case 'boolean':
      return z.boolean()
    case 'number':
      return wholeNumber(minimum)
    case 'text or number':
      return z.union([text(pattern), wholeNumber(minimum)])
    case 'duration':
      // YAML reads a bare 0 as a number.
      return z.union([z.literal(0), text(pattern)])
    case 'enum':
      return z.string().register(z.globalRegistry, { enum: choices })
    default:
      return text(pattern)
  }
}

type JsonSchema = {
  readonly properties?: Readonly<Record<string, JsonSchema>>
  readonly items?: JsonSchema
  readonly anyOf?: readonly JsonSchema[]
}

/** @returns The keys of a mapping in the configuration file, for example `drop` for `['registry']`. */
export function listKeysAt(path: readonly PropertyKey[]): string {
  let found: JsonSchema = withoutNull(jsonSchema())
  for (const step of path) {
    const next = typeof step === 'number' ? found.items : found.properties?.[String(step)]
    found = withoutNull(next ?? {})
  }
  return joinWithOr(Object.keys(found.properties ?? {}))
}

function withoutNull(schema: JsonSchema): JsonSchema {
  return schema.anyOf?.find(({ properties, items }) => properties ?? items) ?? schema
}

// draft-7 is the dialect of yaml-language-server, which most editors use.
function jsonSchema(): JsonSchema {
  return z.toJSONSchema(configSchema, { target: 'draft-7', io: 'input' }) as JsonSchema
}

/** The text of `config.schema.json`: the JSON schema of the configuration file, for editors. */
export function formatJsonSchema(): string {
  return `${JSON.stringify(jsonSchema(), null, 2)}\n`
}
