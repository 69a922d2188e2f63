import {
  COMMUNITY,
  EXPORTER,
  findDocumented,
  OUTSIDE,
  PROSODY,
  type Area,
} from '../catalogue/index.js'
import { COLLECTORS } from './index.js'

/**
 * The families that are defined only in src/collectors. A family that mod_adhoc_statistics exports too is in the
 * catalogue.
 */
const withoutModule: Area = {
  title: 'Any server, without the module',
  from: 'From each host, by standard commands and XEPs. The [list of collectors](collectors.md#list-of-collectors) has the requirements of each. `xmpp_online_users`, `xmpp_registered_users` and `xmpp_start_time_seconds` are also collected this way, and `xmpp_muc_live_rooms` on ejabberd.',
  since: 'any server',
  families: COLLECTORS.flatMap(({ families }) => families).filter(
    ({ name }) => findDocumented(name) === undefined,
  ),
}

/** The sections of docs/metrics.md, in their order. */
export const AREAS: readonly Area[] = [EXPORTER, OUTSIDE, ...PROSODY, withoutModule, ...COMMUNITY]
