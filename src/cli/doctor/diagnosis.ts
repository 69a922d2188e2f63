import * as z from 'zod/mini'

/**
 * The format of the JSON with which the running exporter answers doctor on its control socket. Later versions may only
 * add optional keys, so that doctor can read the answer of an exporter of another version.
 */
const DIAGNOSIS = z.object({
  /** The version of the running exporter. */
  version: z.string().check(z.maxLength(100)),
  pid: z.number(),
  findings: z.array(
    z.object({
      step: z.string(),
      result: z.enum(['ok', 'note', 'failed']),
      text: z.string(),
      weight: z.optional(z.enum(['minor', 'detail'])),
    }),
  ),
  /** The number of series that the server has, if the statistics work. */
  series: z.optional(z.number()),
  /** The URL of the status page of the running exporter, if it has one. */
  url: z.optional(z.string()),
  /** One line that says why the exporter's own certificate is not valid now. */
  certificateProblem: z.optional(z.string()),
})

export type Diagnosis = Readonly<z.infer<typeof DIAGNOSIS>>

/**
 * @returns The diagnosis. If an exporter of another version sends another format, the result has only the version of
 *   that exporter, or `undefined` if the version is missing too.
 */
export function parseDiagnosis(text: string): Diagnosis | { readonly version: string | undefined } {
  try {
    const json: unknown = JSON.parse(text)
    const whole = DIAGNOSIS.safeParse(json)
    if (whole.success) return whole.data
    return { version: z.pick(DIAGNOSIS, { version: true }).safeParse(json).data?.version }
  } catch {
    return { version: undefined }
  }
}
