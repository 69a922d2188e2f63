import { getDocumented } from '../catalogue/index.js'
import { DecodeError } from '../errors.js'
import { xml } from '../xmpp/xml.js'
import type { CollectorDefinition } from './collector-definition.js'
import type { HostSource } from './host-collector.js'

const NS_LAST = 'jabber:iq:last'
// Start times that differ by at most 3 seconds belong to the same start of the server. The server reports its uptime in
// whole seconds, and the reply takes time, so the calculated start time varies.
const SAME_START_S = 3

/** Calculates the start time of each host from the uptime that the host reports. @see XEP-0012 §4 */
export const startTime: CollectorDefinition = {
  name: 'start_time',
  isOn: true,
  help: 'When each host was started (XEP-0012).',
  source: 'XEP-0012 (mod_uptime)',
  rights: 'none',
  families: [getDocumented('xmpp_start_time_seconds')],
  create: ({ queryHosts }) => queryHosts(createStartTimeSource()),
}

export function createStartTimeSource(now: () => number = Date.now): HostSource {
  const startTimes = new Map<string, number>()
  return {
    // The start time can be cached, because a restart of the server ends the stream, and a new stream clears the cache.
    isSteady: true,
    appliesTo: ({ features, identities }) =>
      features.has(NS_LAST) && identities.some(({ category }) => category === 'server'),
    async read({ jid }, ask) {
      const reply = await ask.iq(xml('query', { xmlns: NS_LAST }))
      const seconds = reply.getChild('query', NS_LAST)?.attrs['seconds'] ?? 'none'
      if (!/^\d{1,12}$/.test(seconds)) throw new DecodeError('uptime', 'whole seconds', seconds)
      const startedAt = Math.round(now() / 1000) - Number(seconds)
      const previous = startTimes.get(jid) ?? -Infinity
      if (Math.abs(startedAt - previous) > SAME_START_S) startTimes.set(jid, startedAt)
      return [{ family: 'xmpp_start_time_seconds', value: startTimes.get(jid)! }]
    },
  }
}
