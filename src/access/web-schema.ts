import {
  duration,
  flag,
  integer,
  list,
  optionalText,
  record,
  required,
  struct,
  text,
} from './web-types.js'

// This schema checks only keys and the types of values. read-web-config.ts and read-tls.ts check the values
// themselves.

/**
 * The web configuration file of Prometheus exporters. `bearer_token_files` and `allowed_networks` are additions
 * of this exporter.
 *
 * @see https://github.com/prometheus/exporter-toolkit/blob/master/docs/web-configuration.md
 */
export const webSchema = struct({
  tls_server_config: struct({
    cert: text,
    cert_file: text,
    key: text,
    key_file: text,
    client_ca: text,
    client_ca_file: text,
    client_auth_type: text,
    client_allowed_sans: list(text),
    min_version: optionalText,
    max_version: optionalText,
    cipher_suites: list(text),
    prefer_server_cipher_suites: flag,
    curve_preferences: list(text),
  }),
  http_server_config: struct({ http2: flag, headers: record(text) }),
  basic_auth_users: record(text),
  rate_limit: struct({ interval: duration, burst: integer }),
  bearer_token_files: required('a list', list(text)),
  allowed_networks: required('a list', list(text)),
})

export type WebFile = ReturnType<typeof webSchema.decode>
