import * as z from 'zod/mini'

/** The response of the service on its control socket. */
const DIAGNOSIS = z.object({
  /** The version of the service. */
  version: z.string().check(z.maxLength(100)),
  pid: z.number(),
  findings: z.array(
    z.object({ step: z.string(), result: z.enum(['ok', 'note', 'failed']), text: z.string() }),
  ),
})

export type Diagnosis = Readonly<z.infer<typeof DIAGNOSIS>>

/**
 * @returns The diagnosis. If a service of another version sends another format, only its version, which is
 *   `undefined` if that is missing too.
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
