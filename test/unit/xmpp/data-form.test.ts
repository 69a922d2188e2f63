import xml, { type Element } from '@xmpp/xml'
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { DecodeError } from '../../../src/errors.js'
import { createForm, readDataForm, submitForm } from '../../../src/xmpp/data-form.js'

/** Parses a form inside an iq stanza, as on a stream, where the stanza has another namespace than the form. */
function parse(text: string): Element {
  const parser = new xml.Parser()
  let stanza: Element | undefined
  parser.on('element', (element: Element) => (stanza = element))
  parser.write(`<stream xmlns="jabber:component:accept"><iq>${text}</iq>`)
  return stanza!.getChildElements()[0]!
}

const form = (content: string, type = 'result') =>
  parse(`<x xmlns="jabber:x:data" type="${type}">${content}</x>`)

test('a result form has its fields, each with all of its values', () => {
  const read = readDataForm(
    form(`
      <title>A title</title><instructions>One</instructions><instructions>Two</instructions>
      <field type="hidden" var="FORM_TYPE"><value>urn:type</value></field>
      <field type="fixed"><value>for people</value></field>
      <field var="lines" type="text-multi" label="Lines"><value>a &amp; b</value><value/></field>
      <field var="none"/>`),
  )
  assert.equal(read.type, 'result')
  assert.equal(read.title, 'A title')
  assert.equal(read.instructions, 'One\nTwo')
  assert.deepEqual(
    [...read.fields],
    [
      ['FORM_TYPE', { type: 'hidden', label: '', values: ['urn:type'] }],
      ['lines', { type: 'text-multi', label: 'Lines', values: ['a & b', ''] }],
      ['none', { type: 'text-single', label: '', values: [] }],
    ],
  )
  assert.deepEqual(read.items, [])
  assert.equal(read.columns.size, 0)
})

test('a table has its columns and its rows', () => {
  const read = readDataForm(
    form(`
      <reported><field var="a" type="jid-single" label="A"/><field var="b"/></reported>
      <item><field var="a"><value>1</value></field><field var="b"><value>2</value></field></item>
      <item><field var="a"><value>3</value></field></item>`),
  )
  assert.deepEqual([...read.columns.keys()], ['a', 'b'])
  assert.equal(read.columns.get('a')?.type, 'jid-single')
  assert.deepEqual(
    read.items.map((row) => [...row]),
    [
      [
        ['a', ['1']],
        ['b', ['2']],
      ],
      [['a', ['3']]],
    ],
  )
})

test('fields can have names of JavaScript properties, such as `constructor`', () => {
  const read = readDataForm(form('<field var="__proto__"><value>1</value></field>'))
  assert.deepEqual(read.fields.get('__proto__')?.values, ['1'])
  assert.equal(read.fields.get('constructor'), undefined)
})

const MALFORMED: Readonly<Record<string, [Element, RegExp]>> = {
  'of another namespace': [
    parse('<x xmlns="urn:other" type="result"/>'),
    /^data form: expected <x xmlns='jabber:x:data'\/>, got <x xmlns='urn:other'\/>$/,
  ],
  'of another name': [parse('<y xmlns="jabber:x:data" type="result"/>'), /<y /],
  'without a type': [
    parse('<x xmlns="jabber:x:data"/>'),
    /^data form: expected a type of form, submit, cancel, result, got none$/,
  ],
  'of an unknown type': [form('', 'results'), /got results/],
  'with a field without a name': [
    form('<field><value>1</value></field>'),
    /^data form field: expected a var, got none$/,
  ],
  'with a field twice': [
    form('<field var="a"/><field var="a"/>'),
    /^data form field: expected each var once, got a$/,
  ],
  'with a field twice in a row': [
    form('<item><field var="a"/><field var="a"/></item>'),
    /each var once/,
  ],
  'with two tables': [
    form('<reported/><reported/>'),
    /^data form: expected one <reported\/>, got 2$/,
  ],
}

for (const [what, [x, message]] of Object.entries(MALFORMED)) {
  test(`a form ${what} causes a DecodeError`, () => {
    assert.throws(
      () => readDataForm(x),
      (error) => error instanceof DecodeError && message.test(error.message),
    )
  })
}

test('an element without a namespace is not a form, and the error message contains the element', () => {
  assert.throws(() => readDataForm(xml('x', {})), /got <x xmlns=''\/>$/)
})

test('elements of another namespace inside a form are ignored', () => {
  const read = readDataForm(
    form('<field xmlns="urn:other" var="a"/><title xmlns="urn:other">no</title>'),
  )
  assert.equal(read.fields.size, 0)
  assert.equal(read.title, '')
})

test('a submitted form has its FORM_TYPE and its fields, escaped', () => {
  const x = submitForm('urn:type', { a: '<1>', b: '' })
  assert.equal(
    x.toString(),
    '<x xmlns="jabber:x:data" type="submit">' +
      '<field var="FORM_TYPE" type="hidden"><value>urn:type</value></field>' +
      '<field var="a"><value>&lt;1&gt;</value></field><field var="b"><value/></field></x>',
  )
  const { fields } = readDataForm(parse(x.toString()))
  assert.deepEqual(fields.get('a')?.values, ['<1>'])
})

test('a form without a FORM_TYPE is submitted without one', () => {
  const x = submitForm(null, { a: '1' })
  assert.equal(
    x.toString(),
    '<x xmlns="jabber:x:data" type="submit"><field var="a"><value>1</value></field></x>',
  )
})

test('a form for a person has labels, values, options and required fields', () => {
  const created = createForm('form', {
    title: 'A title',
    instructions: 'Choose',
    fields: [
      { name: 'a', type: 'list-single', label: 'A', values: ['1'], options: ['1', '2'] },
      { name: 'b', values: [], isRequired: true },
    ],
  })
  assert.equal(
    created.toString(),
    '<x xmlns="jabber:x:data" type="form"><title>A title</title><instructions>Choose</instructions>' +
      '<field var="a" type="list-single" label="A"><value>1</value>' +
      '<option label="1"><value>1</value></option><option label="2"><value>2</value></option></field>' +
      '<field var="b"><required/></field></x>',
  )
})
