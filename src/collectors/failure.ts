import {
  CommandError,
  DecodeError,
  LinkError,
  NotHandledError,
  StanzaError,
  TimeoutError,
} from '../errors.js'

/** Why a collection failed, as `prosody_exporter_collection_failures_total{reason}` tells it. */
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
 * Reasons that may pass by themselves. Their counters start at 0, so that increase() shows the first
 * failure; the others last until somebody changes a configuration, and are exported from then on.
 */
export const PASSING_REASONS: readonly Reason[] = [
  'link',
  'timeout',
  'refused',
  'decode',
  'internal',
]

/** A collection failed for a reason that somebody can mend: the message says what to change and where. */
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

/** Whether the server was there to answer, whatever it said. */
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
