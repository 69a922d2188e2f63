/** The first sentence of each message about a problem names the cause and is short, because the page shows it alone. */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { addAdvice } from '../../../src/collectors/registry/registry-advice.js'
import { getErrorMessage, NotHandledError, StanzaError } from '../../../src/errors.js'
import { explain } from '../../../src/xmpp/advice.js'
import { DESCRIPTIONS } from '../../../src/xmpp/port-protocol.js'
import type { StreamEnd } from '../../../src/xmpp/stream-end.js'

const MAX_LENGTH = 85
const CONTEXT = { service: 'xmpp://127.0.0.1:5347', domain: 'stats.example.com' }

const CONDITIONS: Readonly<Record<StreamEnd['kind'], readonly string[]>> = {
  refused: [
    ...['not-authorized', 'host-unknown', 'conflict', 'invalid-from', 'invalid-namespace'],
    ...['system-shutdown', 'policy-violation', 'resource-constraint', 'x'.repeat(500)],
  ],
  network: [
    ...['ECONNREFUSED', 'ENOTFOUND', 'EAI_AGAIN', 'ETIMEDOUT', 'EHOSTUNREACH', 'ENETUNREACH'],
    ...['ECONNRESET', 'EPIPE'],
  ],
  timeout: ['connect', 'header', 'handshake', 'unread', 'lost', 'silence'],
  protocol: ['', 'header', ...Object.keys(DESCRIPTIONS)],
  closed: [''],
  stopped: [''],
}
/** The first sentence of these messages says that the exporter reconnects, so that nothing remains to be said. */
const WITHOUT_REST = /; reconnecting\.$|^The exporter is stopping\.$/

/** Splits a message at the end of its first sentence. */
function split(message: string): { first: string; rest: string } {
  const end = /\. (?=[A-Z])/.exec(message)
  if (!end) return { first: message, rest: '' }
  return { first: message.slice(0, end.index + 1), rest: message.slice(end.index + 2) }
}

function assertShort(message: string): void {
  const { first, rest } = split(message)
  assert.ok(first.length <= MAX_LENGTH, `${first.length} characters: ${first}`)
  assert.match(first, /\.$/)
  assert.doesNotMatch(message, /\n|undefined/)
  if (!WITHOUT_REST.test(first)) assert.notEqual(rest, '', message)
}

test('the first sentence about the end of a stream is short, and the rest is the remedy', () => {
  // A text from the server can contain sentences, so it must not be in the first sentence.
  const text = 'No way. See the manual. Goodbye'
  for (const [kind, conditions] of Object.entries(CONDITIONS)) {
    for (const condition of conditions) {
      for (const wasOnline of [false, true]) {
        for (const hasConnected of [wasOnline, true]) {
          const end = { kind: kind as StreamEnd['kind'], condition, text }
          assertShort(explain(end, { ...CONTEXT, wasOnline, hasConnected }))
        }
      }
    }
  }
})

test('the first sentence about missing statistics is short, and the rest is the remedy', () => {
  const text = 'Not today. Ask again. Statistics are switched off'
  const errors = [
    new NotHandledError('the request came back'),
    new StanzaError('forbidden', 'auth', text),
    new StanzaError('resource-constraint', 'wait', text),
    new StanzaError('feature-not-implemented', 'cancel', text),
    new StanzaError('internal-server-error', 'cancel', 'Oops. It failed'),
  ]
  for (const error of errors) assertShort(getErrorMessage(addAdvice(error, CONTEXT.domain)))
})
