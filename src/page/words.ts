import { html } from 'hono/html'

/** What `html` of Hono makes: everything in it is escaped. */
export type Html = ReturnType<typeof html>

const NUMBER = new Intl.NumberFormat('en', { maximumFractionDigits: 2 })
const LARGE_NUMBER = new Intl.NumberFormat('en', { maximumFractionDigits: 0 })

/** As many digits as one reads at a glance; a dash for what is not known. */
export function number(value: number | undefined): string {
  if (value === undefined) return '–'
  if (Math.abs(value) >= 100) return LARGE_NUMBER.format(value)
  return NUMBER.format(Math.abs(value) >= 10 ? Math.round(value * 10) / 10 : value)
}

/** `1 server`, `2 servers` */
export function counted(count: number, what: string): string {
  return `${number(count)} ${what}${count === 1 ? '' : 's'}`
}

const UNITS = [
  ['day', 86_400],
  ['hour', 3600],
  ['minute', 60],
] as const

/** `3 days 2 hours`; the two largest units. */
export function duration(ms: number): string {
  let seconds = Math.max(Math.floor(ms / 1000), 0)
  const parts: string[] = []
  for (const [unit, length] of UNITS) {
    const count = Math.floor(seconds / length)
    seconds -= count * length
    if (count > 0) parts.push(counted(count, unit))
    else if (parts.length > 0) break
  }
  return parts.length > 0 ? parts.slice(0, 2).join(' ') : 'less than a minute'
}

/** In UTC; the script makes it the time of where the page is read. */
export function moment(ms: number): Html {
  const iso = new Date(ms).toISOString()
  return html`<time datetime="${iso}">${iso.slice(0, 16).replace('T', ' ')} UTC</time>`
}

export function clock(ms: number): Html {
  const iso = new Date(ms).toISOString()
  return html`<time data-clock datetime="${iso}">${iso.slice(11, 19)} UTC</time>`
}

/** `12 ms`, `1.2 s` */
export function took(seconds: number): string {
  return seconds < 1 ? `${number(Math.ceil(seconds * 1000))} ms` : `${number(seconds)} s`
}
