import * as z from 'zod/mini'
import { describeSetting } from './describe-setting.js'
import { joinWithOr, type Kind } from './kinds.js'
import { SETTINGS, type Setting } from './settings.js'

// The schema checks only keys, types, minimums and empty lists, so that no message can show a value that may be a
// secret. The `parse` functions of the settings check the values. The patterns are for editors.

function withDescription<T extends z.ZodMiniType>(description: string, type: T) {
  const schema = z.optional(type)
  z.globalRegistry.add(schema, { description })
  return schema
}

/**
 * A mapping or list in the configuration file. A section without a value, for example with all its lines commented
 * out, counts as missing.
 */
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
      'Regular expression that must match the whole name of the metric family. The name of a counter ' +
      'matches with and without _total.',
  }),
  labels: section(
    'Label names, each with a regular expression that must match the whole label value. The exporter drops ' +
      'the series for which all of them match; a missing label counts as empty. Without labels, it drops the ' +
      'whole family.',
    z.record(z.string().check(z.regex(/^[a-zA-Z_][a-zA-Z0-9_]*$/)), z.string()),
  ),
})

const server = z.strictObject({
  name: withDescription(
    'Unique name of the XMPP server in /probe, /sd and labels. Default: the domain of the component.',
    text(/^[^\s]{1,100}$/),
  ),
  ...buildKeys('servers[]'),
  collectors: section(
    'Collectors, the sources of statistics: the name of each one with true (on) or false (off).',
    z.strictObject(buildKeys('servers[].collectors')),
  ),
})

/** The schema of the configuration file. The keys of settings come from `SETTINGS`. */
export const configSchema = z
  .strictObject({
    servers: section(
      'XMPP servers that the exporter monitors.',
      z.array(server).check(z.minLength(1)),
    ),
    collection: section(
      'When the exporter collects statistics, and for how long.',
      z.strictObject(buildKeys('collection')),
    ),
    exposition: section(
      'Names and timestamps in the responses to scrapes.',
      z.strictObject(buildKeys('exposition')),
    ),
    registry: section(
      "Metric families from Prosody's own statistics, the registry.",
      z.strictObject({
        drop: section(
          'Metric families and series that the exporter does not serve.',
          z.array(dropRule),
        ),
      }),
    ),
    web: section(
      'HTTP server of the exporter. Changes in this section need a restart of the exporter.',
      z.strictObject(buildKeys('web')),
    ),
    state: section(
      'Files of the exporter. Changes in this section need a restart of the exporter.',
      z.strictObject(buildKeys('state')),
    ),
    page: section('Status page of the exporter at /.', z.strictObject(buildKeys('page'))),
    alerts: section(
      'Alerts of Alertmanager that the exporter delivers as XMPP messages. docs/alerts.md describes them.',
      z.strictObject(buildKeys('alerts')),
    ),
    chat: section(
      'Questions of people that the exporter answers in chat.',
      z.strictObject(buildKeys('chat')),
    ),
    alertmanager: section(
      'The Alertmanager in which people silence alerts in chat.',
      z.strictObject(buildKeys('alertmanager')),
    ),
    outside: section(
      'Checks of XMPP domains from outside, as clients and other servers find them. docs/outside.md describes them.',
      z.strictObject(buildKeys('outside')),
    ),
    limits: section(
      'Upper limits for the series of one XMPP server.',
      z.strictObject(buildKeys('limits')),
    ),
  })
  .register(z.globalRegistry, { title: 'Configuration file of prosody-exporter' })

/** Returns the types of the keys that `SETTINGS` has directly in a section, for example in `limits`. */
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
      // YAML reads a 0 without a unit as a number, and `0` is a valid duration.
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

/** @returns The keys that a mapping of the configuration file can have, for example `drop` for `['registry']`. */
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

// Most editors check YAML with yaml-language-server, which reads draft-7 of JSON Schema.
function jsonSchema(): JsonSchema {
  return z.toJSONSchema(configSchema, { target: 'draft-7', io: 'input' }) as JsonSchema
}

/** Returns the text of `config.schema.json`, the JSON schema with which editors check the configuration file. */
export function formatJsonSchema(): string {
  return `${JSON.stringify(jsonSchema(), null, 2)}\n`
}
