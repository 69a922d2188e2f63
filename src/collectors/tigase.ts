import { DecodeError } from '../errors.js'
import { readDataForm } from '../xmpp/data-form.js'
import { NS_COMMANDS, NS_DATA_FORM } from '../xmpp/namespaces.js'
import { xml } from '../xmpp/stream.js'
import { CollectorError } from './failure.js'
import type { HostSource } from './host-collector.js'
import { isSoftware } from './software.js'

// The session manager's alone: all of them are hundreds.
const NODE = 'stats/sess-man'
const FAMILY = 'tigase_statistic'
const MAX_STATISTICS = 200

/**
 * What Tigase's session manager counts, which its statistics component tells admins: accounts, open
 * connections, sessions. The figures are in a form that asks for another level of them, so the answer
 * is `executing`; it has no session that would have to be cancelled.
 *
 * By its source (`StatisticsCollector.java`, `Command.java`): this was never run against a Tigase.
 */
export const tigase: HostSource = {
  name: 'tigase',
  families: [
    { name: FAMILY, help: "A statistic of Tigase's session manager, by the name it gives it." },
  ],
  appliesTo: (host) => isSoftware(host, 'Tigase'),
  async read({ jid }, ask) {
    const command = xml('command', { xmlns: NS_COMMANDS, node: NODE, action: 'execute' })
    const reply = await ask.set(`stats@${jid}`, command)
    const x = reply.getChild('command', NS_COMMANDS)?.getChild('x', NS_DATA_FORM)
    if (!x) throw new DecodeError(NODE, 'a data form', 'none')
    const readings = [...readDataForm(x).fields]
      .filter(([, { values }]) => /^-?\d+(\.\d+)?$/.test(values[0]?.trim() ?? ''))
      .slice(0, MAX_STATISTICS)
      .map(([name, { values }]) => ({ family: FAMILY, labels: { name }, value: Number(values[0]) }))
    if (readings.length > 0) return readings
    // It answers whom it refuses with a form too, which has an error for people.
    throw new CollectorError(
      'forbidden',
      `stats@${jid} tells nothing: the component has to be one of \`admins\` in Tigase's config.tdsl, which lets it ` +
        'do everything; or do without it, with --no-collector.tigase',
    )
  },
}
