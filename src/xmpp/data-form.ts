// Reads and creates data forms (XEP-0004: Data Forms, version 2.13).

import { DecodeError } from '../errors.js'
import { NS_DATA_FORM } from './namespaces.js'
import { xml, type Element } from './xml.js'

const FORM_TYPES = ['form', 'submit', 'cancel', 'result'] as const

export type DataForm = {
  readonly type: (typeof FORM_TYPES)[number]
  readonly title: string
  readonly instructions: string
  /** The fields by name (`var`), in the order of the form. Fields of the type `fixed` without a name are omitted. */
  readonly fields: ReadonlyMap<string, FormField>
  /** The columns of the table in the form, by name. Empty if the form has no table. */
  readonly columns: ReadonlyMap<string, FormField>
  /** The rows of the table in the form. A row has the values of each field of its item, by the name of the field. */
  readonly items: readonly ReadonlyMap<string, readonly string[]>[]
}

export type FormField = {
  /** The type of the field. A field without a type has the type `text-single` (XEP-0004 §3.3). */
  readonly type: string
  readonly label: string
  readonly values: readonly string[]
}

/**
 * Reads a data form from a stanza.
 *
 * The strings of the result can be slices of the stanza's text, and each slice keeps the whole text in memory. Copy the
 * strings that you store.
 *
 * @throws {DecodeError} The element is not a data form, has an unknown type or two `<reported/>`, or has a field with a
 *   missing or repeated name (XEP-0004 §3).
 */
export function readDataForm(x: Element): DataForm {
  if (x.getName() !== 'x' || x.getNS() !== NS_DATA_FORM) {
    throw new DecodeError('data form', `<x xmlns='${NS_DATA_FORM}'/>`, describe(x))
  }
  const type = FORM_TYPES.find((known) => known === x.attrs['type'])
  if (!type) {
    throw new DecodeError(
      'data form',
      `a type of ${FORM_TYPES.join(', ')}`,
      x.attrs['type'] ?? 'none',
    )
  }
  const reported = x.getChildren('reported', NS_DATA_FORM)
  if (reported.length > 1) {
    throw new DecodeError('data form', 'one <reported/>', `${reported.length}`)
  }
  return {
    type,
    title: x.getChildText('title', NS_DATA_FORM) ?? '',
    instructions: x
      .getChildren('instructions', NS_DATA_FORM)
      .map((line) => line.text())
      .join('\n'),
    fields: readFields(x),
    columns: reported[0] ? readFields(reported[0]) : new Map<string, FormField>(),
    items: x
      .getChildren('item', NS_DATA_FORM)
      .map((item) => new Map(Array.from(readFields(item), ([name, { values }]) => [name, values]))),
  }
}

function readFields(parent: Element): Map<string, FormField> {
  const fields = new Map<string, FormField>()
  for (const element of parent.getChildren('field', NS_DATA_FORM)) {
    const { var: name, type = 'text-single', label = '' } = element.attrs
    // XEP-0004 §3.2: Every field has a unique name (`var`). Only a field of the type `fixed` may have no name.
    if (!name && type === 'fixed') continue
    if (!name) throw new DecodeError('data form field', 'a var', 'none')
    if (fields.has(name)) throw new DecodeError('data form field', 'each var once', name)
    const values = element.getChildren('value', NS_DATA_FORM).map((value) => value.text())
    fields.set(name, { type, label, values })
  }
  return fields
}

/**
 * Creates a data form to submit.
 *
 * @param formType The value of the hidden field FORM_TYPE. With null, the form does not have this field.
 * @see XEP-0068 §3.1
 */
export function submitForm(
  formType: string | null,
  fields: Readonly<Record<string, string>>,
): Element {
  return xml(
    'x',
    { xmlns: NS_DATA_FORM, type: 'submit' },
    formType === null
      ? undefined
      : createField({ name: 'FORM_TYPE', type: 'hidden', values: [formType] }),
    Object.entries(fields).map(([name, value]) => createField({ name, values: [value] })),
  )
}

/** A field of a form that the exporter shows to a person. */
export type ShownField = {
  readonly name: string
  /** Default: `text-single`. */
  readonly type?: 'hidden' | 'list-single' | 'text-single' | 'text-multi'
  readonly label?: string
  readonly values: readonly string[]
  /** The values from which the person chooses. */
  readonly options?: readonly string[]
  readonly isRequired?: boolean
}

/** Creates a form for a person to fill in (`form`), or to read (`result`). @see XEP-0004 §3.1, §3.2 */
export function createForm(
  type: 'form' | 'result',
  content: {
    readonly title: string
    readonly instructions?: string
    readonly fields: readonly ShownField[]
  },
): Element {
  const { title, instructions, fields } = content
  return xml(
    'x',
    { xmlns: NS_DATA_FORM, type },
    xml('title', {}, title),
    instructions === undefined ? undefined : xml('instructions', {}, instructions),
    fields.map(createField),
  )
}

function createField({ name, type, label, values, options = [], isRequired }: ShownField): Element {
  return xml(
    'field',
    { var: name, type, label },
    isRequired ? xml('required') : undefined,
    values.map((value) => xml('value', {}, value)),
    options.map((option) => xml('option', { label: option }, xml('value', {}, option))),
  )
}

function describe(element: Element): string {
  return `<${element.name} xmlns='${element.getNS() ?? ''}'/>`
}
