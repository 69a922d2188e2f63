/**
 * The naming schemes of the registry's families. `openmetrics` is the scheme of mod_http_openmetrics, which writes
 * `/` as two underscores. `single_underscore` writes one underscore instead. `mod_prometheus` has the names of the
 * module of that name for Prosody 0.10 and 0.11.
 */
export const NAME_SCHEMES = ['openmetrics', 'single_underscore', 'mod_prometheus'] as const
export type NameScheme = (typeof NAME_SCHEMES)[number]
