import { formatDuration, formatUtc } from '../page/format-values.js'
import type { Alert } from './notification.js'

/** Formats a time in UTC, for example `2026-01-31 23:59 UTC`. Returns an empty text for an unknown time. */
export function formatAlertTime(time: string): string {
  const ms = parseTime(time)
  return ms === undefined ? '' : formatUtc(ms)
}

/**
 * Returns for how long the alert has been firing, or was firing before it was resolved, for example `3 hours 2 minutes`.
 * Returns an empty text if this is unknown.
 */
export function getDuration({ status, startsAt, endsAt }: Alert, nowMs: number): string {
  const startMs = parseTime(startsAt)
  const endMs = status === 'firing' ? nowMs : parseTime(endsAt)
  // Before the start: the clocks of the machines differ.
  if (startMs === undefined || endMs === undefined || endMs < startMs) return ''
  return formatDuration(endMs - startMs)
}

/** Returns a time in milliseconds; `undefined` for the zero time of Go, which is in the year 1. */
export function parseTime(time: string): number | undefined {
  const ms = Date.parse(time)
  return ms > 0 ? ms : undefined
}
