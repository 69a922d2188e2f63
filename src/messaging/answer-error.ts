import { getErrorMessage } from '../errors.js'
import type { Log } from '../log/log.js'

/** The exporter cannot do what a person asked in chat. The message is one line for this person. */
export class AnswerError extends Error {
  override name = 'AnswerError'
}

/** The answer to a question, or the reason why there is none. */
export type AnswerOutcome = { readonly isFailure: boolean; readonly text: string }

/** Runs a question. Never rejects. */
export async function explainFailure(run: () => Promise<string>, log: Log): Promise<AnswerOutcome> {
  try {
    return { isFailure: false, text: await run() }
  } catch (error) {
    if (error instanceof AnswerError) return { isFailure: true, text: error.message }
    log.error('cannot answer a question in chat', { reason: getErrorMessage(error) })
    return { isFailure: true, text: 'The exporter cannot answer now. Its log has the reason.' }
  }
}
