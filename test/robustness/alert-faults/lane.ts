/** The programs of a lane, in which scenarios run one after the other: Prosody, the exporter, and Alertmanager. */

import type { TestContext } from 'node:test'
import { withAlertmanager, type RunningAlertmanager } from '../../support/alertmanager.js'
import { withExporterFor, type RunningExporter } from '../../support/exporter.js'
import { ALERTS_TOKEN, writeMessagingConfig } from '../../support/notifications.js'
import { withProsody, type prosodyVersions, type TestProsody } from '../../support/prosody.js'
import { createRandom } from '../../support/random.js'
import { untilReady } from '../../support/real.js'
import { freePort } from '../../support/setup/process.js'
import { startProxy, type FaultyProxy } from '../faults/proxy.js'
import { ALERTS, Recipients, ROOMS, USERS } from './recipients.js'

export type Lane = {
  readonly prosody: TestProsody
  /** The proxy between the exporter and Prosody. */
  readonly xmpp: FaultyProxy
  /** The proxy between Alertmanager and the exporter. */
  readonly http: FaultyProxy
  readonly recipients: Recipients
  exporter(): RunningExporter
  /** Ends the exporter with the signal, and waits for its end. */
  endExporter(signal: 'SIGTERM' | 'SIGKILL'): Promise<void>
  startExporter(): Promise<void>
  /** Returns the Alertmanager of this lane. The first call starts it. */
  alertmanager(): Promise<RunningAlertmanager>
}

type Cleanup = Pick<TestContext, 'after'>

export async function startLane(
  t: Cleanup,
  version: (typeof prosodyVersions)[number],
): Promise<Lane> {
  const prosody = await startProsodyWithRoom(t, version)
  const port = await freePort()
  const xmpp = await startProxy(prosody.ports.component, createRandom(0))
  const http = await startProxy(port, createRandom(0))
  t.after(() => xmpp.stop())
  t.after(() => http.stop())
  const configFlag = await writeMessagingConfig(t, { alerts: ALERTS })
  const start = async () =>
    await withExporterFor(
      t,
      { ...prosody, service: `xmpp://127.0.0.1:${xmpp.port}` },
      { port, flags: [configFlag] },
    )
  const recipients = new Recipients(prosody)
  await recipients.openRoom()
  t.after(() => recipients.close())
  let exporter = await start()
  await untilReady(exporter, 200)
  // A promise, because an outage of Alertmanager can begin while the first notification still starts it.
  let alertmanager: Promise<RunningAlertmanager> | undefined
  return {
    prosody,
    xmpp,
    http,
    recipients,
    exporter: () => exporter,
    async endExporter(signal) {
      exporter.kill(signal)
      await exporter.exited
    },
    async startExporter() {
      exporter = await start()
    },
    alertmanager: () =>
      (alertmanager ??= withAlertmanager(t, {
        webhook: `http://127.0.0.1:${http.port}/alerts`,
        token: ALERTS_TOKEN,
      })),
  }
}

/** Starts a Prosody with an archive of its rooms, which also has the messages from before a restart. */
async function startProsodyWithRoom(t: Cleanup, version: (typeof prosodyVersions)[number]) {
  return await withProsody(t, {
    version,
    users: USERS,
    modules: ['message', 'presence', 'offline'],
    globals: { max_archive_query_results: '1000' },
    components: [
      {
        domain: ROOMS,
        module: 'muc',
        options: {
          modules_enabled: '{ "muc_mam" }',
          muc_room_locking: 'false',
          muc_room_default_persistent: 'true',
          muc_log_all_rooms: 'true',
        },
      },
    ],
  })
}
