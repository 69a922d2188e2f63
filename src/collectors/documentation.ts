/** The areas of docs/metrics.md. Their families come from the catalogue and from the collectors. */

import { COMMUNITY, EXPORTER, findDocumented, PROSODY, type Area } from '../catalogue/index.js'
import { COLLECTORS } from './index.js'

/** The families that collectors define. The catalogue has the families that mod_adhoc_statistics exports too. */
const withoutModule: Area = {
  title: 'Any server, without the module',
  from: 'From each host, by standard commands and XEPs. The [list of collectors](collectors.md#list-of-collectors) has the requirements of each. `xmpp_online_users`, `xmpp_registered_users` and `xmpp_start_time_seconds` are also collected this way.',
  since: 'any server',
  families: COLLECTORS.flatMap(({ families }) => families).filter(
    ({ name }) => findDocumented(name) === undefined,
  ),
}

/** All areas, in the order of docs/metrics.md. */
export const AREAS: readonly Area[] = [EXPORTER, ...PROSODY, withoutModule, ...COMMUNITY]
