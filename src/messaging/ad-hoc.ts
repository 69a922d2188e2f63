import { randomUUID } from 'node:crypto'
import { DecodeError } from '../errors.js'
import type { Log } from '../log/log.js'
import { copyString } from '../metrics/copy-string.js'
import { createForm, readDataForm, type ShownField } from '../xmpp/data-form.js'
import { NS_COMMANDS, NS_DATA_FORM } from '../xmpp/namespaces.js'
import { createStanzaError } from '../xmpp/stanza-error.js'
import { xml, type Element } from '../xmpp/xml.js'
import { explainFailure, type AnswerOutcome } from './answer-error.js'
import { clip, removeControls } from './plain-text.js'

const SESSION_MS = 600_000
const MAX_SESSIONS_PER_PERSON = 3
/** How much of a value in a form with a mistake the exporter repeats. */
const MAX_VALUE_LENGTH = 500

/** An ad-hoc command that the exporter offers to people. */
export type OfferedCommand = {
  readonly node: string
  readonly name: string
  /** Returns the fields that the person fills in. Default: the command needs no form. @throws {AnswerError} */
  readonly createFields?: () => Promise<readonly ShownField[]>
  /** Returns the result, of one or more lines. @throws {AnswerError} */
  run(values: ReadonlyMap<string, string>, person: string): Promise<string>
}

/** The sender of a request: the full JID, and the bare JID. */
type Sender = { readonly from: string; readonly person: string }

/** A form that a person is filling in. */
type Session = Sender & {
  readonly id: string
  readonly command: OfferedCommand
  readonly fields: readonly ShownField[]
  readonly startedAtMs: number
}

export type AdHoc = ReturnType<typeof createAdHoc>

/**
 * Creates the responder of ad-hoc commands with at most one form. A session belongs to the full JID that started it. Its
 * unpredictable id also confirms the sender: another component that forges the sender does not receive the id.
 *
 * @param options.now Returns the time in monotonic milliseconds.
 * @see XEP-0050 §2.4, §3; XEP-0004
 */
export function createAdHoc(options: {
  readonly commands: () => readonly OfferedCommand[]
  readonly now: () => number
  readonly log: Log
}) {
  const { commands, now, log } = options
  const sessions = createSessions(now)

  async function execute(command: OfferedCommand, sender: Sender): Promise<Element> {
    const { createFields } = command
    if (!createFields) {
      const run = () => command.run(new Map(), sender.person)
      return createCompleted(command, await explainFailure(run, log))
    }
    let fields: readonly ShownField[] = []
    const { isFailure, text } = await explainFailure(async () => {
      fields = await createFields()
      return ''
    }, log)
    if (isFailure) return createCompleted(command, { isFailure, text })
    return createExecuting(sessions.add({ ...sender, id: randomUUID(), command, fields }))
  }

  async function submit(session: Session, element: Element): Promise<Element> {
    const values = readValues(element)
    if (!values) return createCommandError('bad-payload')
    sessions.remove(session)
    const { command, person } = session
    const outcome = await explainFailure(() => command.run(values, person), log)
    if (!outcome.isFailure) return createCompleted(command, outcome, session.id)
    // After a mistake in the form, the person can correct it.
    const fields = fillIn(session.fields, values)
    return createExecuting(sessions.add({ ...session, fields }), outcome.text)
  }

  function continueSession(session: Session, element: Element): Element | Promise<Element> {
    switch (element.attrs['action'] ?? 'execute') {
      case 'cancel':
        sessions.remove(session)
        return createCommand({
          node: session.command.node,
          sessionid: session.id,
          status: 'canceled',
        })
      case 'execute':
      case 'complete':
        return submit(session, element)
      // The form has one page.
      case 'next':
      case 'prev':
        return createCommandError('bad-action')
      default:
        return createCommandError('malformed-action')
    }
  }

  return {
    /** Returns the element `command` or `error` of the reply. Never rejects. */
    async answer(element: Element, sender: Sender): Promise<Element> {
      const { node, sessionid, action = 'execute' } = element.attrs
      if (sessionid !== undefined) {
        const session = sessions.find(sessionid, sender.from)
        if (!session || session.command.node !== node) return createCommandError('bad-sessionid')
        return await continueSession(session, element)
      }
      const command = commands().find((each) => each.node === node)
      if (!command) return createStanzaError('cancel', 'item-not-found')
      if (action !== 'execute') return createCommandError('bad-action')
      return await execute(command, sender)
    },
    /** Ends all sessions. */
    clear: sessions.clear,
  }
}

/** Stores the open sessions. The oldest session of a person ends when the person opens one too many. */
function createSessions(now: () => number) {
  const sessions = new Map<string, Session>()
  const remove = ({ id }: Session) => sessions.delete(id)

  function removeExpired(): void {
    for (const session of sessions.values()) {
      if (now() - session.startedAtMs >= SESSION_MS) remove(session)
    }
  }

  return {
    add(created: Omit<Session, 'startedAtMs'>): Session {
      removeExpired()
      const open = [...sessions.values()].filter(({ person }) => person === created.person)
      if (open.length >= MAX_SESSIONS_PER_PERSON) remove(open[0]!)
      const session = { ...created, from: copyString(created.from), startedAtMs: now() }
      sessions.set(session.id, session)
      return session
    },
    find(id: string, from: string): Session | undefined {
      removeExpired()
      const session = sessions.get(id)
      return session?.from === from ? session : undefined
    },
    remove,
    clear: (): void => {
      sessions.clear()
    },
  }
}

/** Reads the first value of each field. Returns undefined for a form that is missing or malformed. */
function readValues(element: Element): ReadonlyMap<string, string> | undefined {
  const x = element.getChild('x', NS_DATA_FORM)
  if (!x) return undefined
  try {
    const { type, fields } = readDataForm(x)
    if (type !== 'submit') return undefined
    return new Map(Array.from(fields, ([name, { values }]) => [name, values[0] ?? '']))
  } catch (error) {
    if (error instanceof DecodeError) return undefined
    throw error
  }
}

/** Puts the values of the person into the fields. A list can only have a value that is one of its options. */
function fillIn(
  fields: readonly ShownField[],
  values: ReadonlyMap<string, string>,
): readonly ShownField[] {
  return fields.map((field) => {
    const value = values.get(field.name)
    const isPossible = value !== undefined && (field.options?.includes(value) ?? true)
    return isPossible
      ? { ...field, values: [copyString(clip(removeControls(value), MAX_VALUE_LENGTH))] }
      : field
  })
}

function createExecuting({ id, command, fields }: Session, problem?: string): Element {
  return createCommand(
    { node: command.node, sessionid: id, status: 'executing' },
    xml('actions', { execute: 'complete' }, xml('complete')),
    createForm('form', { title: command.name, fields }),
    problem === undefined ? undefined : createNote('error', problem),
  )
}

function createCompleted(
  { node, name }: OfferedCommand,
  { isFailure, text }: AnswerOutcome,
  sessionid: string = randomUUID(),
): Element {
  const attrs = { node, sessionid, status: 'completed' }
  if (isFailure) return createCommand(attrs, createNote('error', text))
  const values = removeControls(text).split('\n')
  const result: ShownField = { name: 'result', type: 'text-multi', label: name, values }
  return createCommand(attrs, createForm('result', { title: name, fields: [result] }))
}

const createNote = (type: string, text: string) => xml('note', { type }, removeControls(text))

function createCommand(
  attrs: Readonly<Record<string, string>>,
  ...children: readonly (Element | undefined)[]
): Element {
  return xml('command', { xmlns: NS_COMMANDS, ...attrs }, ...children)
}

/** @see XEP-0050 §4.4 */
function createCommandError(condition: string): Element {
  return createStanzaError('modify', 'bad-request', xml(condition, { xmlns: NS_COMMANDS }))
}
