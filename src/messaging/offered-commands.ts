import type { ShownField } from '../xmpp/data-form.js'
import type { OfferedCommand } from './ad-hoc.js'
import type { AlertmanagerClient } from './alertmanager-client.js'
import { AnswerError } from './answer-error.js'
import type { ChatReports, ChatSource } from './chat-commands.js'
import {
  carryOut,
  createSilenceOrder,
  createUnsilenceOrder,
  isAlertName,
  unlessTooLong,
  type SilenceOrder,
} from './silences.js'

const DURATIONS = ['30m', '1h', '2h', '4h', '8h', '1d', '3d', '1w']
const USUAL_DURATION = '2h'
const MAX_OPTIONS = 100

/** Lists the ad-hoc commands. Those that need Alertmanager are in the list only if its address is configured. */
export function createOfferedCommands(
  source: ChatSource,
  reports: ChatReports,
): readonly OfferedCommand[] {
  return [
    createStatusCommand(source, reports),
    { node: 'certs', name: 'Certificates', run: reports.certs },
    { node: 'top', name: 'Busiest hosts', run: reports.top },
    ...(source.config().alertmanager
      ? [
          { node: 'alerts', name: 'Alerts that are firing', run: reports.alerts },
          ...createSilenceCommands(source),
        ]
      : []),
  ]
}

/** With several servers, the person chooses one. */
function createStatusCommand(source: ChatSource, reports: ChatReports): OfferedCommand {
  const names = source.serverNames()
  const field: ShownField = {
    ...{ name: 'server', type: 'list-single', label: 'Server' },
    ...{ values: [source.config().chat?.server ?? ''], options: names },
  }
  return {
    node: 'status',
    name: 'Status',
    ...(names.length > 1 && { createFields: () => Promise.resolve([field]) }),
    run: (values) => reports.status(values.get('server') ?? ''),
  }
}

function createSilenceCommands(source: ChatSource): readonly OfferedCommand[] {
  const run = (order: SilenceOrder, author: string) =>
    carryOut(order, {
      ...{ author, alertmanager: source.alertmanager() },
      ...{ startedAtMs: source.wallTime(), log: source.log },
    })
  return [
    {
      node: 'silence',
      name: 'Silence an alert',
      createFields: () => createSilenceFields(source.alertmanager()),
      // The order is read in an asynchronous function, so that a mistake of the person rejects.
      run: async (values, person) =>
        run(createSilenceOrder(values.get('alert') ?? '', values.get('duration') ?? ''), person),
    },
    {
      node: 'unsilence',
      name: 'End a silence',
      createFields: () => createUnsilenceFields(source.alertmanager()),
      run: async (values, person) => run(createUnsilenceOrder(values.get('alert') ?? ''), person),
    },
  ]
}

/** If no alert is firing, the person can silence one in advance. */
async function createSilenceFields(alertmanager: AlertmanagerClient): Promise<ShownField[]> {
  const alerts = (await unlessTooLong(() => alertmanager.listAlerts())) ?? []
  const names = listNames(alerts.filter(({ isSilenced }) => !isSilenced).map(({ name }) => name))
  return [
    createNameField(names),
    {
      ...{ name: 'duration', type: 'list-single', label: 'Duration', isRequired: true },
      ...{ values: [USUAL_DURATION], options: DURATIONS },
    },
  ]
}

async function createUnsilenceFields(alertmanager: AlertmanagerClient): Promise<ShownField[]> {
  const silences = await unlessTooLong(() => alertmanager.listSilences())
  if (!silences) return [createNameField([])]
  const names = listNames(silences.flatMap(({ alertName }) => alertName ?? []))
  if (names.length > 0) return [createNameField(names)]
  throw new AnswerError(
    'No silence is for all alerts of one name. End other silences on the web page of Alertmanager.',
  )
}

const listNames = (names: readonly string[]) =>
  [...new Set(names)].filter(isAlertName).sort().slice(0, MAX_OPTIONS)

/** The person chooses one of the names, or writes one if there are none. */
function createNameField(names: readonly string[]): ShownField {
  const common = { name: 'alert', label: 'Name of the alert', isRequired: true }
  if (names.length === 0) return { ...common, type: 'text-single', values: [] }
  return { ...common, type: 'list-single', values: [], options: names }
}
