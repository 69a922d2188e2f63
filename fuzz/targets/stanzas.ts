import { CommandError, DecodeError, StanzaError } from '../../src/errors.js'
import { runCommand } from '../../src/xmpp/ad-hoc-command.js'
import { readDataForm } from '../../src/xmpp/data-form.js'
import { answerIq } from '../../src/xmpp/service.js'
import { readError } from '../../src/xmpp/stanza-error.js'
import { checkRefusal, must, refusing, type Target } from '../target.js'
import { parseChildren } from '../xml.js'

const NODE = 'urn:x'
const FORM =
  "<x xmlns='jabber:x:data' type='form'><title>t</title><instructions>i</instructions>" +
  "<field var='a' type='list-multi' label='l'><value>1</value><value>2</value><option/></field>" +
  "<reported><field var='b'/></reported><item><field var='b'><value>3</value></field></item></x>"
const ERROR =
  "<iq type='error' id='1' from='a'><error type='wait'><resource-constraint xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>" +
  "<text xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'>no</text></error></iq>"
const OPTIONS = { domain: 'd', version: '1', commands: [{ node: 'constructor', name: 'n' }] }

/**
 * Decodes data forms, stanza errors, results of commands, and IQ requests to the exporter. Decoding must return a
 * value or throw one of the exporter's own error classes.
 */
export const stanzas: Target = {
  name: 'stanzas',
  weight: 6,
  seeds: [
    FORM,
    ERROR,
    `<iq type='result'><command xmlns='http://jabber.org/protocol/commands' node='${NODE}' status='completed' sessionid='s'>` +
      `<note type='warn'>n</note>${FORM}</command></iq>`,
    "<iq type='get' id='1' from='a' to='d'><query xmlns='http://jabber.org/protocol/disco#info' node='constructor'/></iq>",
    "<iq type='get' id='1' from='a' to='d'><query xmlns='jabber:iq:version'/></iq>",
  ],
  words: [
    ...[
      "xmlns='jabber:x:data'",
      "type='",
      "var='",
      '<field',
      '<value>',
      '</value>',
      '/>',
      '<item>',
    ],
    ...[
      "status='executing'",
      "node='__proto__'",
      '<![CDATA[',
      ']]>',
      '<!--',
      '-->',
      '&lt;',
      '&#x0;',
    ],
    ...["xmlns='http://jabber.org/protocol/commands'", '<error>', '</error>', '<reported/>', FORM],
  ],
  async run(input) {
    for (const element of parseChildren(input.toString())) {
      const form = refusing([DecodeError], () => readDataForm(element))
      if (form) for (const [name] of form.fields) must(name !== '', 'a field must have a name')
      const error = readError(element)
      must(
        typeof error.condition === 'string' && typeof error.text === 'string',
        'condition and text of an error must be strings',
      )
      const answer = answerIq(element, OPTIONS)
      if (answer)
        must(
          /^<iq [^>]*type="(?:error|result)"/.test(answer.toString()),
          'a reply must be a result or an error',
        )
      const connection = { request: () => Promise.resolve(element) }
      await runCommand(connection, NODE, { timeoutMs: 1000 }).catch((error: unknown) => {
        checkRefusal([CommandError, DecodeError, StanzaError], error)
      })
    }
  },
}
