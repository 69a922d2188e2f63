const BASE = '/-/page'

/**
 * The paths of the files, of the event stream and of the history that the page at `/` loads, and of the files to which
 * it links.
 */
export const PAGE_URLS = {
  events: `${BASE}/events`,
  history: `${BASE}/history`,
  script: `${BASE}/page.js`,
  charts: `${BASE}/uplot.js`,
  style: `${BASE}/page.css`,
  icon: `${BASE}/icon.svg`,
  dashboard: `${BASE}/prosody.json`,
  alerts: `${BASE}/rules.yml`,
  reference: `${BASE}/metrics.md`,
  operations: `${BASE}/operations.md`,
} as const

export const PAGE_PATHS: readonly string[] = Object.values(PAGE_URLS)
