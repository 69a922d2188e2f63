import { z } from 'zod'

// Shapes only: what a value may be is checked where it is read, so that no message shows a secret.

const text = z.string().optional()
const texts = z.array(z.string()).optional()

/**
 * The web configuration file of the Prometheus exporters, and below it what we add.
 *
 * @see https://github.com/prometheus/exporter-toolkit/blob/master/docs/web-configuration.md
 */
export const webSchema = z.strictObject({
  tls_server_config: z
    .strictObject({
      cert: text,
      cert_file: text,
      key: text,
      key_file: text,
      client_ca: text,
      client_ca_file: text,
      client_auth_type: text,
      client_allowed_sans: texts,
      min_version: text,
      max_version: text,
      cipher_suites: texts,
      prefer_server_cipher_suites: z.boolean().optional(),
      curve_preferences: texts,
    })
    .optional(),
  http_server_config: z
    .strictObject({
      http2: z.boolean().optional(),
      headers: z.record(z.string(), z.string()).optional(),
    })
    .optional(),
  basic_auth_users: z.record(z.string(), z.string()).optional(),
  rate_limit: z
    .strictObject({
      interval: z.union([z.string(), z.literal(0)]).optional(),
      burst: z.number().optional(),
    })
    .optional(),
  bearer_token_files: texts,
  allowed_networks: texts,
})

export type WebFile = z.infer<typeof webSchema>

/** The keys of each section, for who wrote another. */
export function keysOf(section: readonly PropertyKey[]): string[] {
  const [name] = section
  if (name === undefined) return Object.keys(webSchema.shape)
  const shape = (webSchema.shape as Record<string, z.ZodOptional<z.ZodType>>)[String(name)]
  const inner = shape?.unwrap()
  return inner instanceof z.ZodObject ? Object.keys(inner.shape) : []
}
