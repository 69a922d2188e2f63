/**
 * The naming schemes for families of Prosody's registry. `openmetrics` is the scheme of mod_http_openmetrics, which
 * replaces `/` by two underscores. `single_underscore` replaces `/` by one underscore. `mod_prometheus` is the scheme
 * of the module mod_prometheus for Prosody 0.10 and 0.11.
 */
export const NAME_SCHEMES = ['openmetrics', 'single_underscore', 'mod_prometheus'] as const
export type NameScheme = (typeof NAME_SCHEMES)[number]
