import { randomInt, randomUUID } from 'node:crypto'
import type { MessagingConfig } from '../config/read-config.js'
import { getErrorMessage } from '../errors.js'
import type { Log } from '../log/log.js'
import { createTaskQueue } from '../task-queue.js'
import { toBareJid } from '../xmpp/jid.js'
import { realTime, type Schedule } from '../xmpp/schedule.js'
import type { Element } from '../xmpp/xml.js'
import { createAdHoc } from './ad-hoc.js'
import { createAlertmanagerClient, type AlertmanagerClient } from './alertmanager-client.js'
import { AnswerError, explainFailure } from './answer-error.js'
import { createAnswerLimit } from './answer-limit.js'
import { createChatAccess } from './chat-access.js'
import {
  createCommandRunner,
  createReports,
  parseCommand,
  type ChatSource,
  type PendingOrder,
} from './chat-commands.js'
import { createAnswer, readQuestion, type Question } from './chat-message.js'
import { createRequestHandler } from './chat-requests.js'
import type { ReportedServer } from './chat-reports.js'
import { createConfirmations } from './confirmations.js'
import type { MessagingClient } from './messaging-client.js'
import { createOfferedCommands } from './offered-commands.js'

export type ChatOptions = {
  /** Returns the current configuration. A reload replaces it. */
  readonly config: () => MessagingConfig
  readonly client: MessagingClient
  readonly findServer: (name: string) => ReportedServer | undefined
  readonly serverNames: () => readonly string[]
  readonly log: Log
  readonly fetch?: typeof fetch
  readonly schedule?: Schedule
  /** Returns the time in monotonic milliseconds. */
  readonly now?: () => number
  /** Returns the time in milliseconds since 1970. */
  readonly wallTime?: () => number
  /** Returns an unpredictable integer that is at least 0 and less than the argument. */
  readonly random?: (end: number) => number
}

/** Answers questions of people in chat, and the same questions as ad-hoc commands. */
export type Chat = {
  /** Handles a stanza of the server. Returns whether it did. Never throws. */
  readonly handle: (stanza: Element) => boolean
  /** Call this function after each login. */
  readonly onOnline: () => void
  /** Call this function after each reload of the configuration. */
  readonly applyConfig: () => void
  readonly stop: () => void
}

const TOO_MANY =
  'The exporter sends at most 10 answers per minute. Repeat this message in a minute.'
const UNKNOWN = 'The exporter does not know this command. For a list of commands, write: help'
const ENCRYPTED =
  'The exporter cannot read encrypted messages. Turn off encryption for this chat. For a list of commands, write: help'
const NO_ALERTMANAGER =
  'The exporter does not know the address of Alertmanager. Set alertmanager.url in the configuration file of the exporter, for example http://127.0.0.1:9093.'

export function createChat(options: ChatOptions): Chat {
  const { config, client, log, schedule = realTime } = options
  const { now = () => performance.now(), wallTime = Date.now, random = randomInt } = options
  const allow = () => config().chat?.allow ?? []
  const access = createChatAccess({ allow, client, log })
  const limit = createAnswerLimit(now)
  const source: ChatSource = {
    ...options,
    wallTime,
    ownDomain: () => client.domain(),
    alertmanager: createAlertmanagerSource(options, schedule),
  }
  const reports = createReports(source)
  const run = createCommandRunner(
    source,
    reports,
    createConfirmations<PendingOrder>({ now, random }),
  )
  const offered = () => createOfferedCommands(source, reports)
  const adHoc = createAdHoc({ commands: offered, now, log })
  const send = createSender(client, log)
  /** A promise that rejects without a handler would end the exporter. */
  const runInBackground = (answered: Promise<void>) => {
    answered.catch((error: unknown) => {
      log.debug('cannot answer in chat', { reason: getErrorMessage(error) })
    })
  }

  /** Returns the entry in `chat.allow`. It does not keep the stanza in memory, as a part of the stanza would. */
  const findListed = (jid: string) => allow().find((each) => each === toBareJid(jid))

  function handleMessage(message: Element): boolean {
    const question = readQuestion(message, { address: client.address(), nowMs: wallTime() })
    const person = question && findListed(question.person)
    if (!question || person === undefined) return false
    runInBackground(answerQuestion({ ...question, person }))
    return true
  }

  async function answerQuestion({ from, person, text }: Question): Promise<void> {
    const command = text === undefined ? undefined : parseCommand(text)
    if (command) limit.resetHints(person)
    else if (!limit.admitHint(person)) return
    const admission = limit.admitMessage(person)
    // The check of the domain comes after the limit, so that only few questions wait for it.
    if (admission === 'refused' || !(await access.isAllowed(person))) return
    const answer = async () => {
      if (admission === 'notice') return TOO_MANY
      if (command) return await run(command, person)
      return text === undefined ? ENCRYPTED : UNKNOWN
    }
    const { text: answered } = await explainFailure(answer, log)
    send(() => createAnswer({ from: client.address(), to: from, id: randomUUID(), text: answered }))
  }

  const handleIq = createRequestHandler({
    ...{ client, access, limit, adHoc, offered, findListed, send, runInBackground },
  })

  return {
    handle(stanza) {
      try {
        if (!config().chat) return false
        if (stanza.getName() === 'message') return handleMessage(stanza)
        return stanza.getName() === 'iq' && handleIq(stanza)
      } catch (error) {
        log.debug('cannot handle a stanza for the chat', { reason: getErrorMessage(error) })
        return false
      }
    },
    onOnline: access.check,
    applyConfig: access.check,
    stop: adHoc.clear,
  }
}

/**
 * Returns a function that creates a client for the current address of Alertmanager, which a reload can change. It throws
 * an AnswerError if the configuration has no address.
 */
function createAlertmanagerSource(
  { config, fetch: fetchUrl = fetch }: ChatOptions,
  schedule: Schedule,
): () => AlertmanagerClient {
  const queue = createTaskQueue()
  return () => {
    const { alertmanager } = config()
    if (!alertmanager) throw new AnswerError(NO_ALERTMANAGER)
    return createAlertmanagerClient({ ...alertmanager, fetch: fetchUrl, schedule, queue })
  }
}

function createSender(client: MessagingClient, log: Log): (create: () => Element) => void {
  return (create) => {
    try {
      client.send(create())
    } catch (error) {
      // The stream was lost, or a text of the request, which the answer repeats, has a character that XML forbids.
      log.debug('cannot send an answer', { reason: getErrorMessage(error) })
    }
  }
}
