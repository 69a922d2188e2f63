import type { Documented } from '../catalogue/index.js'
import type { Connection } from '../xmpp/connection.js'
import type { Collector } from './collector.js'
import type { HostSource } from './host-collector.js'

/**
 * The description of one collector. Flags, YAML keys, documentation and the command `doctor` use it.
 *
 * The exporter loads the definitions of all collectors even for `--help`. Therefore, the file of a definition
 * imports little. `CollectorContext` provides the code that takes long to load.
 */
export type CollectorDefinition = {
  /** Name of the flag `--collector.NAME` and value of the label `collector`. */
  readonly name: string
  /** Whether the collector runs if the configuration does not turn it on or off. */
  readonly isOn: boolean
  /** One sentence about the collector for `--help`, config.schema.json, the status page and docs/collectors.md. */
  readonly help: string
  /** The XMPP extension or server module that answers the requests of the collector, in Markdown. */
  readonly source: string
  /** The rights on the XMPP server that the exporter needs for this collector, in Markdown. */
  readonly rights: string
  /** Node of the ad-hoc command that this collector runs and that Prosody lists for admins only. */
  readonly adminCommand?: string
  /**
   * The metric families that the collector exports. The field `meaning` of a family is its HELP text. The list is
   * empty for the collector `registry`, which exports the families that Prosody has.
   */
  readonly families: readonly Documented[]
  /** Creates the collector for one monitored XMPP server. */
  readonly create: (context: CollectorContext) => Collector
}

/** The connection and the functions that a collector can use to read its XMPP server. */
export type CollectorContext = {
  readonly connection: Connection
  /** A collector calls this function when ejabberd refuses its API commands. */
  readonly onApiRefused: () => void
  /** Creates a collector that queries each host for which `source.appliesTo` returns true. */
  readonly queryHosts: (source: HostSource) => Collector
  /** Creates the collector that reads the statistics registry of Prosody. */
  readonly readRegistry: () => Collector
}
