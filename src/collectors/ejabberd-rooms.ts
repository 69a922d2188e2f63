import { getDocumented } from '../catalogue/index.js'
import { copyString } from '../metrics/copy-string.js'
import type { CollectorDefinition } from './collector-definition.js'
import type { Host } from './describe-host.js'
import { readApiDefault, readApiNumber } from './ejabberd-api.js'
import type { Ask, HostSource } from './host-collector.js'
import { isSoftware } from './software.js'

const FAMILY = 'xmpp_muc_live_rooms'
const COMMAND = 'muc_online_rooms_count'

/**
 * Reads how many rooms of a MUC service ejabberd has in memory, including hidden rooms. The number does not include
 * rooms that ejabberd has hibernated.
 */
export const ejabberdRooms: CollectorDefinition = {
  name: 'ejabberd_rooms',
  isOn: true,
  help: 'Rooms in memory of each MUC service of ejabberd; requires permission for an API command.',
  source: 'mod_adhoc_api and mod_muc_admin of ejabberd',
  rights: 'an [API command](#ejabberd)',
  families: [getDocumented(FAMILY)],
  create: ({ queryHosts }) => queryHosts(createEjabberdRoomsSource()),
}

/**
 * Only a virtual host runs API commands, and the command needs the domain of the host's MUC service. ejabberd suggests
 * that domain in the form of the command. If ejabberd refuses the command, does not have it, or has no MUC service, the
 * exporter does not run the command again until the next search for hosts.
 */
export function createEjabberdRoomsSource(): HostSource {
  const services = new WeakMap<Host, string>()
  const refusing = new WeakSet<Host>()
  return {
    appliesTo: (host) => isSoftware(host, 'ejabberd') && !refusing.has(host),
    async read(host, ask) {
      const service = services.get(host) ?? (await readService(ask))
      services.set(host, service)
      const value =
        service === '' ? undefined : await readApiNumber(ask, COMMAND, { service }, 'count')
      if (value === undefined) {
        refusing.add(host)
        return []
      }
      return [{ family: FAMILY, labels: { host: service }, value }]
    },
  }
}

/** Returns the domain that ejabberd suggests, or an empty text if it suggests no valid domain. */
async function readService(ask: Ask): Promise<string> {
  const service = (await readApiDefault(ask, COMMAND, 'service')) ?? ''
  // RFC 7622 §3.2: a domain has at most 1023 bytes.
  return /^[^@/\s]{1,1023}$/.test(service) ? copyString(service) : ''
}
