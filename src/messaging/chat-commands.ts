import type { MessagingConfig } from '../config/read-config.js'
import type { Log } from '../log/log.js'
import { AlertmanagerError, type AlertmanagerClient } from './alertmanager-client.js'
import { AnswerError } from './answer-error.js'
import {
  reportAlerts,
  reportCertificates,
  reportOtherServers,
  reportStatus,
  reportTop,
  type ReportedServer,
} from './chat-reports.js'
import { parseCode, type Confirmations } from './confirmations.js'
import {
  carryOut,
  createUnsilenceOrder,
  describeOrder,
  parseSilenceOrder,
  type SilenceOrder,
} from './silences.js'

const NAMES = ['status', 'alerts', 'certs', 'top', 'silence', 'unsilence', 'yes', 'help'] as const
type CommandName = (typeof NAMES)[number]
const WITH_ARGUMENT: ReadonlySet<CommandName> = new Set(['status', 'silence', 'unsilence', 'yes'])
const MAX_LENGTH = 500
/** A person needs this time to repeat a code. */
const MIN_REPEAT_MS = 15_000

export type ChatCommand = { readonly name: CommandName; readonly argument: string }

/** What the commands need to know of the exporter. */
export type ChatSource = {
  readonly config: () => MessagingConfig
  readonly findServer: (name: string) => ReportedServer | undefined
  readonly serverNames: () => readonly string[]
  /** Returns a client of the configured Alertmanager. @throws {AnswerError} if none is configured. */
  readonly alertmanager: () => AlertmanagerClient
  readonly ownDomain: () => string | undefined
  readonly log: Log
  /** Returns the time in milliseconds since 1970. */
  readonly wallTime: () => number
}

/** Reads the command in a message. Returns undefined for any other text. A phone can write the first letter large. */
export function parseCommand(text: string): ChatCommand | undefined {
  if (text.length > MAX_LENGTH) return undefined
  const [, word = '', argument = ''] = /^(\S+)(?:[ \t]+(\S.*))?$/.exec(text) ?? []
  const name = NAMES.find((each) => each === word.toLowerCase())
  if (name === undefined || (argument !== '' && !WITH_ARGUMENT.has(name))) return undefined
  return { name, argument: argument.trim() }
}

/** Answers the questions that have the same answer in a message and in a form. */
export function createReports(source: ChatSource) {
  const { config, findServer, serverNames, wallTime } = source

  function find(name: string): ReportedServer {
    const server = findServer(name)
    if (server) return server
    throw new AnswerError(
      `There is no server with the name ${name}. The servers are: ${serverNames().join(', ')}.`,
    )
  }
  const findOwn = () => find(config().chat?.server ?? '')

  return {
    /** @param name The name of the server. If it is empty, the server is `chat.server`. */
    async status(name: string): Promise<string> {
      const names = serverNames()
      const own = config().chat?.server ?? ''
      const asked = name || own
      const text = await reportStatus(find(asked), wallTime())
      if (names.length < 2) return text
      if (name !== '') return `${asked}: ${text}`
      const others = names.flatMap((each) => (each === own ? [] : (findServer(each) ?? [])))
      return `${asked}: ${text}\n${reportOtherServers(others)}`
    },
    alerts: async () => reportAlerts(await source.alertmanager().listAlerts(), wallTime()),
    certs: () => reportCertificates(findOwn(), wallTime()),
    top: () => reportTop(findOwn(), { nowMs: wallTime(), ownDomain: source.ownDomain() }),
  }
}

/** An order that a person has to confirm. */
export type PendingOrder = {
  readonly order: SilenceOrder
  /** The time of the first attempt to carry out the order. */
  startedAtMs?: number
}

export type ChatReports = ReturnType<typeof createReports>

/** Creates a function that runs the command of a person, and returns the answer. */
export function createCommandRunner(
  source: ChatSource,
  reports: ChatReports,
  confirmations: Confirmations<PendingOrder>,
): (command: ChatCommand, person: string) => Promise<string> {
  const { alertmanager, wallTime, log } = source

  async function ask(person: string, order: SilenceOrder): Promise<string> {
    confirmations.assertNotBlocked(person)
    const description = await describeOrder(order, alertmanager(), wallTime())
    const code = confirmations.add(person, { order })
    return `${description}\nTo confirm, write within 2 minutes: yes ${code}`
  }

  async function confirm(person: string, text: string): Promise<string> {
    const code = parseCode(text)
    try {
      return await confirmations.confirm(person, code, async (pending) => {
        const isRepeated = pending.startedAtMs !== undefined
        const startedAtMs = (pending.startedAtMs ??= wallTime())
        const options = {
          author: person,
          alertmanager: alertmanager(),
          startedAtMs,
          isRepeated,
          log,
        }
        return await carryOut(pending.order, options)
      })
    } catch (error) {
      if (!(error instanceof AlertmanagerError)) throw error
      const isValid = confirmations.getRemainingMs(person, code) >= MIN_REPEAT_MS
      const remedy = isValid
        ? `To try again, write: yes ${code}`
        : 'To try again, repeat the request.'
      throw new AnswerError(`${error.message} ${remedy}`)
    }
  }

  return ({ name, argument }, person) => {
    switch (name) {
      case 'status':
        return reports.status(argument)
      case 'silence':
        return ask(person, parseSilenceOrder(argument))
      case 'unsilence':
        return ask(person, createUnsilenceOrder(argument))
      case 'yes':
        return confirm(person, argument)
      case 'help':
        return Promise.resolve(describeCommands(source))
      default:
        return reports[name]()
    }
  }
}

/** The commands that need Alertmanager are listed only if its address is configured. */
export function describeCommands({ config, serverNames }: ChatSource): string {
  return [
    'status: the state of the server, and what needs attention',
    ...(serverNames().length > 1 ? ['status NAME: the state of another server'] : []),
    'certs: the certificates that expire first',
    'top: the hosts with the most users, clients, connections and messages',
    ...(config().alertmanager
      ? [
          'alerts: the alerts that are firing',
          'silence NAME 2h: silence the alert NAME for 2 hours',
          'unsilence NAME: end the silence of the alert NAME',
        ]
      : []),
    'help: this list',
  ].join('\n')
}
