import type { CollectorDefinition } from '../collector-definition.js'

export const registry: CollectorDefinition = {
  name: 'registry',
  isOn: true,
  help: 'All statistics in the registry of Prosody; requires mod_adhoc_statistics.',
  source: 'mod_adhoc_statistics',
  rights: 'none',
  families: [],
  create: ({ readRegistry }) => readRegistry(),
}
