import { existsSync } from 'node:fs'
import type { Settings } from '../../config/read-settings.js'

/** The configuration file that the Debian package and `prosody-exporter setup` use. */
export const DEFAULT_CONFIG_FILE = '/etc/prosody-exporter/prosody-exporter.yml'

// Other settings, such as --xmpp.host, override those of the file.
const NAMES_SERVER = ['config.file', 'xmpp.domain'] as const

/**
 * Adds the usual configuration file to the settings of doctor, if the file exists and no flag or variable names a
 * configuration file or a component.
 */
export function addDefaultConfigFile(settings: Settings, path = DEFAULT_CONFIG_FILE): Settings {
  const isNamed = NAMES_SERVER.some((name) =>
    settings.all(name).some(({ from }) => from !== 'default'),
  )
  if (isNamed || !existsSync(path)) return settings
  const file = { from: 'default', source: 'the default configuration file', text: path } as const
  return { ...settings, all: (name) => (name === 'config.file' ? [file] : settings.all(name)) }
}
