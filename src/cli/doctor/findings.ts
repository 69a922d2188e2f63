/** The result of one check of doctor. If the result is not `ok`, the text usually says what to change. */
export type Finding = {
  readonly step: string
  readonly result: 'ok' | 'note' | 'failed'
  readonly text: string
}

export type Reporter = Readonly<Record<Finding['result'], (step: string, text: string) => void>>

/** @param report Called with the result of each check of doctor. */
export function createReporter(report: (finding: Finding) => void): Reporter {
  const reportAs = (result: Finding['result']) => (step: string, text: string) => {
    report({ step, result, text })
  }
  return { ok: reportAs('ok'), note: reportAs('note'), failed: reportAs('failed') }
}
