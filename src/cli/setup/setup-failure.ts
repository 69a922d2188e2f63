/** The reason why setup cannot continue, in one line for the operator: what happened, why, and what to change. */
export class SetupFailure extends Error {
  override readonly name = 'SetupFailure'
}
