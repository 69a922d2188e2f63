import { gauge } from '../catalogue/documented-family.js'
import { DecodeError } from '../errors.js'
import type { CollectorDefinition } from './collector-definition.js'

const NODE = 'http://prosody.im/protocol/modules#list'
const FAMILY = 'prosody_module_loaded'

/** Lists the modules that each host of Prosody has loaded. A command of mod_admin_adhoc returns the list. */
export const modules: CollectorDefinition = {
  name: 'modules',
  isOn: true,
  help: 'Modules that each Prosody host has loaded; requires admin rights.',
  source: 'mod_admin_adhoc',
  rights: 'admin',
  adminCommand: NODE,
  families: [
    gauge(FAMILY, 'host module', 'Modules that are loaded on the host; always 1.', {
      defect: 'The series can be up to five minutes old.',
    }),
  ],
  create: ({ queryHosts }) =>
    queryHosts({
      isSteady: true,
      appliesTo: ({ commands }) => commands.has(NODE),
      async read(_, ask) {
        const { form } = await ask.command(NODE)
        const names = form?.fields.get('modules')?.values
        if (!names) throw new DecodeError('modules#list', 'a field modules', 'none')
        return [...new Set(names)]
          .filter((module) => module !== '')
          .map((module) => ({ family: FAMILY, labels: { module }, value: 1 }))
      },
    }),
}
