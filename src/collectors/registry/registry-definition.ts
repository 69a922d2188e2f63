import type { CollectorDefinition } from '../collector-definition.js'

export const registry: CollectorDefinition = {
  name: 'registry',
  isOn: true,
  help: "Prosody's whole statistics registry, by mod_adhoc_statistics.",
  source: 'mod_adhoc_statistics',
  rights: 'none',
  families: [],
  create: ({ readRegistry }) => readRegistry(),
}
