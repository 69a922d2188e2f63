import { DecodeError } from '../errors.js'
import type { HostSource } from './host-collector.js'

const NODE = 'http://prosody.im/protocol/modules#list'
const FAMILY = 'prosody_module_loaded'

/** Modules that each of Prosody's hosts has loaded, by its mod_admin_adhoc. */
export const modules: HostSource = {
  name: 'modules',
  isSteady: true,
  families: [
    { name: FAMILY, help: 'A module is loaded on the host; always 1. Up to five minutes old.' },
  ],
  appliesTo: ({ commands }) => commands.has(NODE),
  async read(_, ask) {
    const { form } = await ask.command(NODE)
    const names = form?.fields.get('modules')?.values
    if (!names) throw new DecodeError('modules#list', 'a field modules', 'none')
    return [...new Set(names)]
      .filter((module) => module !== '')
      .map((module) => ({ family: FAMILY, labels: { module }, value: 1 }))
  },
}
