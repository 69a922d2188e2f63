import type { Setting } from './settings.js'

/** Describes a setting for `--help`, the manual page and the JSON schema: its help text, the allowed values and the default. */
export function describeSetting({ help, kind, defaults, defaultInWords }: Setting): string {
  const byDefault = defaultInWords ?? defaults.join(' and ')
  return [help, describeAllowed(kind), byDefault && `Default: ${byDefault}.`]
    .filter(Boolean)
    .join(' ')
}

/** Formats the allowed values as a sentence. The text is empty for a kind whose values need no list. */
export function describeAllowed({ allowed }: Setting['kind']): string {
  return allowed === undefined ? '' : `Allowed: ${allowed}.`
}
