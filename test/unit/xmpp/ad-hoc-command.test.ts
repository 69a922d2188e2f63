import xml, { type Element } from '@xmpp/xml'
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { CommandError, DecodeError, StanzaError } from '../../../src/errors.js'
import { requestForm, runCommand } from '../../../src/xmpp/ad-hoc-command.js'
import { submitForm } from '../../../src/xmpp/data-form.js'

const NS = 'http://jabber.org/protocol/commands'
const NODE = 'urn:node'

/**
 * Creates a fake connection that replies to each request with the next text, and that stores the requests in `asked`.
 */
function server(...answers: (string | Error)[]) {
  const asked: { type: string; child: string; options: { to?: string; timeoutMs: number } }[] = []
  return {
    asked,
    request(type: string, child: Element, options: { to?: string; timeoutMs: number }) {
      asked.push({ type, child: child.toString(), options })
      const answer = answers.shift() ?? new Error('nothing more to say')
      if (typeof answer !== 'string') return Promise.reject(answer)
      const parser = new xml.Parser()
      let stanza: Element | undefined
      parser.on('element', (element: Element) => (stanza = element))
      parser.write(`<stream xmlns="jabber:component:accept"><iq type="result">${answer}</iq>`)
      return Promise.resolve(stanza!)
    },
  }
}

const command = (attrs: string, content = '') =>
  `<command xmlns="${NS}" ${attrs}>${content}</command>`
const completed = (content = '') =>
  command(`node="${NODE}" status="completed" sessionid="s"`, content)
const timeoutMs = 1000

test('a completed command returns its notes, its form and its payload', async () => {
  const connection = server(
    completed(
      '<note type="warn">careful</note><note>fine</note>' +
        '<x xmlns="jabber:x:data" type="result"><field var="a"><value>1</value></field></x>' +
        '<own xmlns="urn:own" b="2">text</own>',
    ),
  )
  const result = await runCommand(connection, NODE, { timeoutMs })
  assert.equal(result.status, 'completed')
  assert.deepEqual(result.notes, [
    { type: 'warn', text: 'careful' },
    { type: 'info', text: 'fine' },
  ])
  assert.deepEqual(result.form?.fields.get('a')?.values, ['1'])
  assert.equal(result.element.getChildText('own', 'urn:own'), 'text')
  assert.deepEqual(connection.asked, [
    {
      type: 'set',
      child: `<command xmlns="${NS}" node="${NODE}" action="execute"/>`,
      options: { timeoutMs },
    },
  ])
})

test('a command is sent to the JID in `to`, with the form in `payload`', async () => {
  const connection = server(completed())
  const payload = submitForm('urn:type', { a: '1' })
  const result = await runCommand(connection, NODE, { to: 'example.com', payload, timeoutMs: 5 })
  assert.equal(result.form, undefined)
  const [asked] = connection.asked
  assert.deepEqual(asked?.options, { to: 'example.com', timeoutMs: 5 })
  assert.match(asked.child, /action="execute"><x xmlns="jabber:x:data" type="submit">/)
})

const FAILURES: Readonly<Record<string, [string, CommandError['failure'], RegExp]>> = {
  'without <command/>': ['', 'no-command', /has no <command\/>/],
  'with a <command/> of another namespace': [
    `<command xmlns="urn:other" node="${NODE}" status="completed"/>`,
    'no-command',
    /has no <command\/>/,
  ],
  'of another command': [command('node="other" status="completed"'), 'wrong-node', /other/],
  'without a node': [command('status="completed"'), 'wrong-node', /names another command: none/],
  'without a status': [command(`node="${NODE}"`), 'bad-status', /missing/],
  'of an unknown status': [command(`node="${NODE}" status="done"`), 'bad-status', /done/],
  'that is canceled': [command(`node="${NODE}" status="canceled"`), 'canceled', /canceled/],
  'with an error note': [
    completed('<note>so far</note><note type="error">no disk</note>'),
    'error-note',
    /no disk/,
  ],
  'with an empty error note': [completed('<note type="error"/>'), 'error-note', /gave no reason/],
}

for (const [what, [answer, failure, message]] of Object.entries(FAILURES)) {
  test(`a reply ${what} causes a CommandError: ${failure}`, async () => {
    const connection = server(answer)
    await assert.rejects(runCommand(connection, NODE, { timeoutMs }), (error) => {
      assert.ok(error instanceof CommandError)
      assert.deepEqual([error.failure, error.node], [failure, NODE])
      assert.match(error.message, message)
      return true
    })
    assert.equal(connection.asked.length, 1)
  })
}

test('a command that asks for input is canceled, and fails before the reply to `cancel`', async () => {
  for (const answer of [command(`node="${NODE}" status="canceled"`), new Error('no answer')]) {
    const executing = command(`node="${NODE}" status="executing" sessionid="s1"`)
    const connection = server(executing, answer)
    const run = runCommand(connection, NODE, { to: 'example.com', timeoutMs })
    await assert.rejects(run, { name: 'CommandError', failure: 'needs-input' })
    assert.deepEqual(connection.asked[1], {
      type: 'set',
      child: `<command xmlns="${NS}" node="${NODE}" action="cancel" sessionid="s1"/>`,
      options: { to: 'example.com', timeoutMs },
    })
  }
})

test('a command that asks for input gets the payload once, and is canceled if it asks again', async () => {
  const executing = command(`node="${NODE}" status="executing" sessionid="s1"`)
  const form = submitForm('urn:type', { a: '1' })
  const connection = server(executing, completed('<note>done</note>'))
  const result = await runCommand(connection, NODE, { payload: form, timeoutMs })
  assert.equal(result.notes[0]?.text, 'done')
  const x = form.toString()
  assert.deepEqual(
    connection.asked.map(({ child }) => child),
    [
      `<command xmlns="${NS}" node="${NODE}" action="execute">${x}</command>`,
      `<command xmlns="${NS}" node="${NODE}" action="complete" sessionid="s1">${x}</command>`,
    ],
  )

  const again = server(executing, executing)
  const run = runCommand(again, NODE, { payload: form, timeoutMs })
  await assert.rejects(run, { name: 'CommandError', failure: 'needs-input' })
  assert.equal(
    again.asked[2]?.child,
    `<command xmlns="${NS}" node="${NODE}" action="cancel" sessionid="s1"/>`,
  )
})

test('the form of a command is returned with its values, and the command is canceled', async () => {
  const form = '<x xmlns="jabber:x:data" type="form"><field var="a"><value>1</value></field></x>'
  const connection = server(
    command(`node="${NODE}" status="executing" sessionid="s1"`, form),
    new Error('no answer'),
  )
  const result = await requestForm(connection, NODE, { timeoutMs })
  assert.deepEqual(result?.fields.get('a')?.values, ['1'])
  assert.deepEqual(
    connection.asked.map(({ child }) => child),
    [
      `<command xmlns="${NS}" node="${NODE}" action="execute"/>`,
      `<command xmlns="${NS}" node="${NODE}" action="cancel" sessionid="s1"/>`,
    ],
  )
})

test('a command that asks for no form has none', async () => {
  assert.equal(await requestForm(server(completed()), NODE, { timeoutMs }), undefined)
  const withoutForm = server(command(`node="${NODE}" status="executing"`))
  assert.equal(await requestForm(withoutForm, NODE, { timeoutMs }), undefined)
  const error = new StanzaError('item-not-found', 'cancel', '')
  await assert.rejects(requestForm(server(error), NODE, { timeoutMs }), StanzaError)
})

test('a command without a session id is not canceled', async () => {
  const connection = server(command(`node="${NODE}" status="executing"`))
  await assert.rejects(runCommand(connection, NODE, { timeoutMs }), { failure: 'needs-input' })
  assert.equal(connection.asked.length, 1)
})

test('a malformed form in the reply is a DecodeError', async () => {
  const connection = server(completed('<x xmlns="jabber:x:data" type="nonsense"/>'))
  await assert.rejects(runCommand(connection, NODE, { timeoutMs }), DecodeError)
})

test('runCommand throws an error of the connection unchanged', async () => {
  const forbidden = new StanzaError('forbidden', 'auth', 'no')
  await assert.rejects(runCommand(server(forbidden), NODE, { timeoutMs }), forbidden)
})
