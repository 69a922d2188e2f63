/** The result of one check of doctor. If the result is not `ok`, the text usually says what to change. */
export type Finding = {
  readonly step: string
  readonly result: 'ok' | 'note' | 'failed'
  readonly text: string
  /** `minor`: a note that needs no change, so it is not in the verdict. `detail`: doctor shows it with --verbose only. */
  readonly weight?: 'minor' | 'detail' | undefined
}

/** The name of the check for another program that uses the component. */
export const COMPONENT_STEP = 'component'

type Report = (step: string, text: string) => void

export type Reporter = {
  readonly ok: Report
  readonly note: Report
  readonly failed: Report
  /** Reports a note that needs no change. */
  readonly minor: Report
  /** Reports what only `doctor --verbose` shows. */
  readonly detail: (result: 'ok' | 'note', step: string, text: string) => void
}

/** @param report Called with the result of each check of doctor. */
export function createReporter(report: (finding: Finding) => void): Reporter {
  const reportAs =
    (result: Finding['result']): Report =>
    (step, text) => {
      report({ step, result, text })
    }
  return {
    ok: reportAs('ok'),
    note: reportAs('note'),
    failed: reportAs('failed'),
    minor: (step, text) => {
      report({ step, result: 'note', text, weight: 'minor' })
    },
    detail: (result, step, text) => {
      report({ step, result, text, weight: 'detail' })
    },
  }
}
