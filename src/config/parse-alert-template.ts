import { ConfigError } from '../errors.js'
import type { Given } from './given.js'
import { quote } from './quote.js'

/** The fields of an alert that a template can contain, for example `{{ status }}`. */
export const ALERT_FIELDS = [
  'status',
  'value',
  'startsAt',
  'endsAt',
  'duration',
  'generatorURL',
  'externalURL',
  'receiver',
] as const

/** The groups of texts that a template can contain by name, for example `{{ labels.severity }}`. */
const TEXT_GROUPS = ['labels', 'annotations', 'groupLabels'] as const

export type AlertField =
  | { readonly field: (typeof ALERT_FIELDS)[number] }
  | { readonly group: (typeof TEXT_GROUPS)[number]; readonly name: string }

/** The parts of a template in their order: texts that are copied, and fields that are replaced. */
export type AlertTemplate = readonly (string | AlertField)[]

const NAMED_TEXT = new RegExp(`^(${TEXT_GROUPS.join('|')})\\.([^\\s{}]+)$`)

/**
 * Parses the template of an alert. A template only has fields. It has no code, no conditions and no loops, so an alert
 * with any content can only change the text of its fields.
 *
 * @throws ConfigError for an unknown field.
 */
export function parseAlertTemplate({
  source,
  text,
}: Pick<Given, 'source' | 'text'>): AlertTemplate {
  const [first = '', ...rest] = text.split('{{')
  const parts = rest.flatMap((piece) => {
    const end = piece.indexOf('}}')
    if (end < 0) {
      throw new ConfigError(`${source}: expected }} after {{, got ${quote(`{{${piece}`)}`)
    }
    const field = findField(piece.slice(0, end).trim())
    if (field) return [field, piece.slice(end + 2)]
    const known = [...ALERT_FIELDS, ...TEXT_GROUPS.map((group) => `${group}.NAME`)].join(', ')
    throw new ConfigError(
      `${source}: expected one of the fields ${known}, got ${quote(`{{${piece.slice(0, end)}}}`)}`,
    )
  })
  return [first, ...parts]
}

function findField(text: string): AlertField | undefined {
  const field = ALERT_FIELDS.find((each) => each === text)
  if (field !== undefined) return { field }
  const [, given, name] = NAMED_TEXT.exec(text) ?? []
  const group = TEXT_GROUPS.find((each) => each === given)
  return group !== undefined && name !== undefined ? { group, name } : undefined
}
