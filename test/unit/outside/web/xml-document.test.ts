import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseXmlDocument } from '../../../../src/outside/web/xml-document.js'

test('a document has its root with all children', () => {
  const text = `\uFEFF<?xml version="1.0"?>\n<!-- <b/> -->\n<a xmlns="x"><b>1 &amp; 2</b>text<!-- <b/> --><c/></a>\n<!-- end -->`
  const root = parseXmlDocument(text)
  assert.ok(root)
  assert.ok(root.is('a', 'x'))
  assert.deepEqual(
    root.getChildElements().map(({ name }) => name),
    ['b', 'c'],
  )
  assert.equal(root.getChildText('b', 'x'), '1 & 2')
})

test('a document with many elements is read completely', () => {
  const items = Array.from({ length: 1000 }, (_, i) => `<item n="${i}"><![CDATA[<${i}>]]></item>`)
  const root = parseXmlDocument(`<a>${items.join('\n')}</a>`)
  assert.deepEqual(
    root?.getChildElements().map((item) => `${item.attrs['n'] ?? ''} ${item.text()}`),
    items.map((_, i) => `${i} <${i}>`),
  )
})

const BROKEN = {
  'an empty text': '',
  'only a comment': '<!-- a -->',
  'an unfinished comment': '<a/><!-- ',
  'an unfinished instruction': '<?xml <a/>',
  'a document type': '<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>',
  'text without an element': 'hello',
  'text before the root': 'hello <a/>',
  'an element that is not closed': '<a><b></b>',
  'a wrong end tag': '<a></b>',
  'an end tag at the start': '</a>',
  'an element that is nested too deeply': `${'<a>'.repeat(40)}${'</a>'.repeat(40)}`,
  'a document of more than 64 KB': `<a>${'b'.repeat(65_536)}</a>`,
  'a value that is not closed': '<a b="',
}
for (const [what, text] of Object.entries(BROKEN)) {
  test(`${what} is no document`, () => {
    assert.equal(parseXmlDocument(text), undefined)
  })
}
