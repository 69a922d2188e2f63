import { z } from 'zod'
import { COLLECTORS } from './collectors/index.js'
import { NAME_SCHEMES } from './collectors/registry-names.js'

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
    'What this server is called, in /probe and in labels; no other may be. Default: its domain.',
    text(/^[^\s]{1,100}$/),
  ),
  service: optional(
    "Prosody's component port. Default: xmpp://127.0.0.1:5347.",
    text(/^[xX][mM][pP][pP]:\/\/[^@]+$/),
  ),
  domain: optional("The component's domain, as in its Component line.", text(/^[^@/\s]+$/)),
  secret_file: optional(
    "File with the component_secret; relative to this file's directory.",
    text(/./),
  ),
  hosts: section(
    "VirtualHosts to ask for what standard XMPP tells. Default: the domain's parent and its components.",
    z.array(text(/^[^@/\s]+$/)),
  ),
  collectors: section('Sources of statistics, each on (true) or off (false).', collectors),
})

const dropRule = z.strictObject({
  family: text(/./).meta({
    description: "Regular expression for the family's whole name; of a counter also with _total.",
  }),
  labels: section(
    'Label names, each with a regular expression for the whole value. Only series for which all ' +
      'match are dropped; a label that a series lacks is empty. Without it: the whole family.',
    z.record(z.string().regex(/^[a-zA-Z_][a-zA-Z0-9_]*$/), z.string()),
  ),
})

/** The configuration file. */
export const configSchema = z
  .strictObject({
    servers: section('The servers to read, any number.', z.array(server).min(1)),
    collection: section(
      'When Prosody is asked.',
      z.strictObject({
        min_age: optional(
          'A snapshot whose collection started less than this ago is served as it is. ' +
            'At most 5s; with exposition.timestamps at most 4m. Default: 250ms.',
          duration(),
        ),
        timeout: optional(
          'The longest that a collection may take: 100ms to 10m. Default: 10s.',
          duration(),
        ),
        serve_stale_for: optional(
          'How long the last series are served when the server does not answer; at most 4m. Default: 0s.',
          duration(),
        ),
      }),
    ),
    exposition: section(
      'What a response holds.',
      z.strictObject({
        names: optional(
          "What the registry's families are called, one way or a list: openmetrics, as " +
            'mod_http_openmetrics does; single_underscore for two; mod_prometheus, as on Prosody 0.11. ' +
            'Default: openmetrics.',
          z.union([nameScheme(), z.array(nameScheme()).min(1)]),
        ),
        created: optional('Adds _created lines to OpenMetrics. Default: false.', z.boolean()),
        timestamps: optional(
          "Gives each of the server's samples the time of its collection. Default: false.",
          z.boolean(),
        ),
      }),
    ),
    registry: section(
      "Prosody's own statistics.",
      z.strictObject({ drop: section('What is not served.', z.array(dropRule)) }),
    ),
    web: section(
      'What is served over HTTP; read at the start only.',
      z.strictObject({
        fail_when_down: optional(
          'Status 503 while the server is down, for /metrics of one server and for /probe. Default: false.',
          z.boolean(),
        ),
        socket_mode: optional(
          'Permissions of the Unix sockets to listen on, octal, e.g. 0660. Default: by the umask, ' +
            '0660 with socket_group.',
          z.union([text(/^0?[67][0-7]{2}$/), z.int()]),
        ),
        socket_group: optional(
          'Group of the Unix sockets to listen on, a name or a number.',
          z.union([text(/./), z.int().min(0)]),
        ),
      }),
    ),
    page: section(
      'The page for people at /.',
      z.strictObject({
        interval: optional(
          'The server is asked as often as that for the history on the page, if nobody else asked. ' +
            '1s to 1h; 0: never. Default: 15s.',
          duration(),
        ),
      }),
    ),
    limits: section(
      'What is left out when there is too much.',
      z.strictObject({
        series: optional(
          'Most series served, the largest families left out first; 0 for no limit. Default: 2000000.',
          z.int().min(0),
        ),
        label_value_length: optional(
          'Longest label value, in characters; series with a longer one are left out. 0 for no ' +
            'limit. Default: 0.',
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
