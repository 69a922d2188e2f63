import { z } from 'zod'
import { COLLECTORS } from '../collectors/index.js'
import { NAME_SCHEMES } from '../collectors/registry/name-schemes.js'

// Shapes and types only, so that no message can show a value that may be a secret. What a value may
// be is checked where flags and variables are; the patterns here are for editors.

const optional = <T extends z.ZodType>(description: string, type: T) =>
  type.meta({ description }).optional()

/** A mapping or a list: without any value, for example with all of them commented out, it is missing. */
const section = <T extends z.ZodType>(description: string, type: T) =>
  type
    .nullable()
    .transform((value) => value ?? undefined)
    .meta({ description })
    .optional()

const text = (pattern?: RegExp) => z.string().meta(pattern ? { pattern: pattern.source } : {})

// A bare 0 is a number in YAML, and a duration.
const duration = () =>
  z.union([z.literal(0), text(/^(?=.)(\d+y)?(\d+w)?(\d+d)?(\d+h)?(\d+m)?(\d+s)?(\d+ms)?$/)])

const nameScheme = () => z.string().meta({ enum: NAME_SCHEMES })

const collectors = z.strictObject(
  Object.fromEntries(
    COLLECTORS.map(({ name, isOn, help }) => [
      name,
      optional(`${help} Default: ${String(isOn)}.`, z.boolean()),
    ]),
  ),
)

const server = z.strictObject({
  name: optional(
    'Unique name of the server in /probe and in labels. Default: its domain.',
    text(/^[^\s]{1,100}$/),
  ),
  service: optional(
    "Address of Prosody's component port. Default: xmpp://127.0.0.1:5347.",
    text(/^[xX][mM][pP][pP]:\/\/[^@]+$/),
  ),
  domain: optional('Name of the component, as in its Component line.', text(/^[^@/\s]+$/)),
  secret_file: optional(
    "File with the component_secret, relative to this file's directory.",
    text(/./),
  ),
  hosts: section(
    "VirtualHosts to query with standard XMPP. Default: the domain's parent, with its components.",
    z.array(text(/^[^@/\s]+$/)),
  ),
  collectors: section('Sources of statistics, each on (true) or off (false).', collectors),
})

const dropRule = z.strictObject({
  family: text(/./).meta({
    description:
      'Regular expression for the whole name of the family; for a counter with or without _total.',
  }),
  labels: section(
    'Label names, each with a regular expression for the whole value. A series is dropped if all ' +
      'match; a missing label is empty. Default: the whole family.',
    z.record(z.string().regex(/^[a-zA-Z_][a-zA-Z0-9_]*$/), z.string()),
  ),
})

/** The configuration file. */
export const configSchema = z
  .strictObject({
    servers: section('Servers to monitor.', z.array(server).min(1)),
    collection: section(
      'Time and duration of collections.',
      z.strictObject({
        min_age: optional(
          'Maximum age of a snapshot that is served again, since the start of its collection. ' +
            'At most 5s; with exposition.timestamps at most 4m. Default: 250ms.',
          duration(),
        ),
        timeout: optional(
          'Maximum duration of a collection: 100ms to 10m. Default: 10s.',
          duration(),
        ),
        serve_stale_for: optional(
          'Time to serve the last series while the server does not answer; at most 4m. Default: 0s.',
          duration(),
        ),
      }),
    ),
    exposition: section(
      'Content of a response.',
      z.strictObject({
        names: optional(
          "Names of the registry's families, one value or a list: openmetrics (mod_http_openmetrics), " +
            'single_underscore, mod_prometheus (Prosody 0.11). Default: openmetrics.',
          z.union([nameScheme(), z.array(nameScheme()).min(1)]),
        ),
        created: optional('Adds _created lines to OpenMetrics. Default: false.', z.boolean()),
        timestamps: optional(
          "Gives the server's samples the time of their collection. Default: false.",
          z.boolean(),
        ),
      }),
    ),
    registry: section(
      "Prosody's own statistics.",
      z.strictObject({ drop: section('Families and series to drop.', z.array(dropRule)) }),
    ),
    web: section(
      'HTTP server; read at the start only.',
      z.strictObject({
        fail_when_down: optional(
          'Status 503 while the server is down: /metrics with one server, and /probe. Default: false.',
          z.boolean(),
        ),
        socket_mode: optional(
          'Permissions of the Unix sockets, octal and in quotes. Default: by the umask, or 0660 with ' +
            'socket_group.',
          z.union([text(/^0?[67][0-7]{2}$/), z.int()]),
        ),
        socket_group: optional(
          'Group of the Unix sockets: a name or a number.',
          z.union([text(/./), z.int().min(0)]),
        ),
      }),
    ),
    page: section(
      'The page at /.',
      z.strictObject({
        interval: optional(
          'Collect for the history on the page if no scrape did so for this time. ' +
            '1s to 1h; 0: never. Default: 15s.',
          duration(),
        ),
      }),
    ),
    limits: section(
      'Upper limits.',
      z.strictObject({
        series: optional(
          'Maximum number of series; the largest families are omitted first. 0: no limit. Default: 2000000.',
          z.int().min(0),
        ),
        label_value_length: optional(
          'Maximum characters of a label value; series with a longer one are omitted. 0: no limit. ' +
            'Default: 0.',
          z.int().min(0),
        ),
      }),
    ),
  })
  .meta({ title: 'Configuration file of prosody-exporter' })

export type ConfigFile = z.infer<typeof configSchema>

/** JSON Schema of the configuration file, for editors: the text of `config.schema.json`. */
export function schemaText(): string {
  // The dialect that yaml-language-server, and so most editors, know.
  const schema = z.toJSONSchema(configSchema, { target: 'draft-7', io: 'input' })
  return `${JSON.stringify(schema, null, 2)}\n`
}
