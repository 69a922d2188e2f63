import { DecodeError } from '../errors.js'
import { xml } from '../xmpp/stream.js'
import type { HostSource } from './host-collector.js'

const NS_LAST = 'jabber:iq:last'
// The server tells whole seconds, and the answer takes its time: the same start looks different.
const SAME_START_S = 3

/** When each host was started, by its uptime. @see XEP-0012 §4 */
export function createStartTime(now: () => number = Date.now): HostSource {
  const known = new Map<string, number>()
  return {
    name: 'start_time',
    // With a server that starts anew our stream is another one, and then it is asked again.
    isSteady: true,
    families: [
      { name: 'xmpp_start_time_seconds', help: 'When the host was started, in Unix time.' },
    ],
    appliesTo: ({ features, identities }) =>
      features.has(NS_LAST) && identities.some(({ category }) => category === 'server'),
    async read({ jid }, ask) {
      const reply = await ask.iq(xml('query', { xmlns: NS_LAST }))
      const seconds = reply.getChild('query', NS_LAST)?.attrs['seconds'] ?? 'none'
      if (!/^\d{1,12}$/.test(seconds)) throw new DecodeError('uptime', 'whole seconds', seconds)
      const started = Math.round(now() / 1000) - Number(seconds)
      const before = known.get(jid) ?? -Infinity
      if (Math.abs(started - before) > SAME_START_S) known.set(jid, started)
      return [{ family: 'xmpp_start_time_seconds', value: known.get(jid)! }]
    },
  }
}
