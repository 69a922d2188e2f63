import {
  CommandError,
  DecodeError,
  LinkError,
  NotHandledError,
  StanzaError,
  TimeoutError,
} from '../errors.js'

/** The values of the label `reason` of `prosody_exporter_collection_failures_total`. */
export const REASONS = [
  'link',
  'timeout',
  'not_found',
  'forbidden',
  'refused',
  'too_many',
  'decode',
  'internal',
] as const
export type Reason = (typeof REASONS)[number]

/**
 * Reasons for failed collections that can disappear without a change of the configuration. The exporter exports their
 * counters from the start with the value 0, so that increase() in Prometheus counts the first failure. The counter of
 * any other reason is exported after its first failure.
 */
export const PASSING_REASONS: readonly Reason[] = [
  'link',
  'timeout',
  'refused',
  'decode',
  'internal',
]

/**
 * The error of a failed collection, with a message for the operator. If the operator can fix the reason, the
 * message says how.
 */
export class CollectorError extends Error {
  override name = 'CollectorError'
  constructor(
    readonly reason: Reason,
    message: string,
    options?: ErrorOptions,
  ) {
    super(message, options)
  }
}

/** Whether this error of a request means that the server answered, for example with an error stanza. */
export function hasAnswered(error: unknown): boolean {
  if (error instanceof CollectorError) return hasAnswered(error.cause)
  return !(error instanceof LinkError || error instanceof TimeoutError)
}

export function reasonOf(error: unknown): Reason {
  if (error instanceof CollectorError) return error.reason
  if (error instanceof LinkError) return 'link'
  if (error instanceof TimeoutError) return 'timeout'
  if (error instanceof NotHandledError) return 'not_found'
  if (error instanceof StanzaError || error instanceof CommandError) return 'refused'
  if (error instanceof DecodeError) return 'decode'
  return 'internal'
}
