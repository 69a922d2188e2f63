import { html } from 'hono/html'

/** The result of a template with Hono's `html`, which escapes all values in the template. */
export type Html = ReturnType<typeof html>

const NUMBER = new Intl.NumberFormat('en', { maximumFractionDigits: 2 })
const LARGE_NUMBER = new Intl.NumberFormat('en', { maximumFractionDigits: 0 })

/**
 * Formats a number with at most two decimal places, so that it is easy to read. An unknown number becomes a dash.
 */
export function formatNumber(value: number | undefined): string {
  if (value === undefined) return '–'
  if (Math.abs(value) >= 100) return LARGE_NUMBER.format(value)
  return NUMBER.format(Math.abs(value) >= 10 ? Math.round(value * 10) / 10 : value)
}

/** Formats a count and its noun, for example `1 server` or `2 servers`. */
export function formatCount(count: number, noun: string): string {
  return `${formatNumber(count)} ${noun}${count === 1 ? '' : 's'}`
}

const UNITS = [
  ['day', 86_400],
  ['hour', 3600],
  ['minute', 60],
] as const

/** Formats a duration with at most two units, for example `3 days 2 hours`. */
export function formatDuration(ms: number): string {
  let seconds = Math.max(Math.floor(ms / 1000), 0)
  const parts: string[] = []
  for (const [unit, length] of UNITS) {
    const count = Math.floor(seconds / length)
    seconds -= count * length
    if (count > 0) parts.push(formatCount(count, unit))
    else if (parts.length > 0) break
  }
  return parts.length > 0 ? parts.slice(0, 2).join(' ') : 'less than a minute'
}

/** Formats a duration with one unit: in days, or in hours if it is shorter than two days. */
export function formatDays(ms: number): string {
  const hours = Math.floor(ms / 3_600_000)
  if (hours < 1) return 'less than an hour'
  return hours < 48 ? formatCount(hours, 'hour') : formatCount(Math.floor(hours / 24), 'day')
}

/** Formats a date and time in UTC, for example `2026-01-31 12:00 UTC`. */
export function formatUtc(ms: number): string {
  return `${new Date(ms).toISOString().slice(0, 16).replace('T', ' ')} UTC`
}

/** Renders a date and time in UTC. The script client/page.js replaces it with the local time of the reader. */
export function formatDateTime(ms: number): Html {
  return html`<time datetime="${new Date(ms).toISOString()}">${formatUtc(ms)}</time>`
}

/** Renders a time of day in UTC. The script client/page.js replaces it with the local time of the reader. */
export function formatTime(ms: number): Html {
  const iso = new Date(ms).toISOString()
  return html`<time data-clock datetime="${iso}">${iso.slice(11, 19)} UTC</time>`
}

/** Formats a short duration, for example `12 ms` or `1.2 s`. */
export function formatElapsed(seconds: number): string {
  return seconds < 1
    ? `${formatNumber(Math.ceil(seconds * 1000))} ms`
    : `${formatNumber(seconds)} s`
}

const BYTE_UNITS = ['bytes', 'KB', 'MB', 'GB', 'TB']

/** Formats a number of bytes with three digits at most, for example `132 MB`. One KB is 1024 bytes, as in `free` and `top`. */
export function formatBytes(bytes: number): string {
  let [value, unit] = [bytes, 0]
  while (value >= 1000 && unit < BYTE_UNITS.length - 1) [value, unit] = [value / 1024, unit + 1]
  const digits = value < 10 && unit > 0 ? 1 : 0
  return `${Number(value.toFixed(digits))} ${BYTE_UNITS[unit]!}`
}
