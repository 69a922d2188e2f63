import type { Documented } from '../catalogue/index.js'
import type { Connection } from '../xmpp/connection.js'
import type { Collector } from './collector.js'
import type { HostSource } from './host-collector.js'

/**
 * Everything about one collector. The flags, the YAML keys, the documentation and the doctor derive from it.
 *
 * The configuration loads all definitions, even for `--help`. Therefore, the file of a definition imports little,
 * and the context provides the code that is expensive to load.
 */
export type CollectorDefinition = {
  /** Name of the flag `--collector.NAME` and value of the label `collector`. */
  readonly name: string
  /** Whether the collector is on if the configuration does not mention it. */
  readonly isOn: boolean
  /** One sentence for `--help`, config.schema.json, the page and docs/collectors.md. */
  readonly help: string
  /** The extension or the module of the server that answers the requests, in Markdown. */
  readonly source: string
  /** The rights that the exporter needs on the server, in Markdown. */
  readonly rights: string
  /** Node of the ad-hoc command that Prosody lists for admins only, if the collector needs admin rights. */
  readonly adminCommand?: string
  /**
   * The exported families. Their meaning is the HELP text. Empty for the registry, which exports whatever
   * Prosody has.
   */
  readonly families: readonly Documented[]
  /** Creates the collector for one server. */
  readonly create: (context: CollectorContext) => Collector
}

/** What a collector can use to read its server. */
export type CollectorContext = {
  readonly connection: Connection
  /** Called when ejabberd refuses the API commands. */
  readonly onApiRefused: () => void
  /** Creates a collector that queries each host to which the source applies. */
  readonly queryHosts: (source: HostSource) => Collector
  /** Creates the collector that reads the registry of Prosody. */
  readonly readRegistry: () => Collector
}
