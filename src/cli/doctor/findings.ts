/** What one step found: whether it is well, in words, and where it is not what to change. */
export type Finding = {
  readonly step: string
  readonly result: 'ok' | 'note' | 'failed'
  readonly text: string
}

export type Reporter = Readonly<Record<Finding['result'], (step: string, text: string) => void>>

/** @param report Called for each step as it ends. */
export function createReporter(report: (finding: Finding) => void): Reporter {
  const as = (result: Finding['result']) => (step: string, text: string) => {
    report({ step, result, text })
  }
  return { ok: as('ok'), note: as('note'), failed: as('failed') }
}
