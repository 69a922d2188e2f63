import { createHash } from 'node:crypto'
import { existsSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { fileURLToPath } from 'node:url'
import { gzipSync } from 'node:zlib'
import { PAGE_URLS } from '../config/page-paths.js'

/** A file of ours that browsers may keep: its URL changes with what is in it. */
export type Asset = {
  readonly path: string
  /** Relative to the page. */
  readonly url: string
  readonly contentType: string
  readonly bytes: Uint8Array<ArrayBuffer>
  readonly zipped: Uint8Array<ArrayBuffer>
}

const ours = (file: string) => fileURLToPath(new URL(file, import.meta.url))
const theirs = (file: string) => createRequire(import.meta.url).resolve(file)

export function readAssets() {
  return {
    script: asset(PAGE_URLS.script, 'text/javascript', ours('client/page.js')),
    charts: asset(PAGE_URLS.charts, 'text/javascript', theirs('uplot/dist/uPlot.iife.min.js')),
    style: asset(
      PAGE_URLS.style,
      'text/css',
      theirs('uplot/dist/uPlot.min.css'),
      ours('client/page.css'),
    ),
    icon: asset(PAGE_URLS.icon, 'image/svg+xml', ours('client/icon.svg')),
  }
}

/** docs/metrics.md, the meaning of each family; packaged beside dist. */
export function readReference(): Asset | undefined {
  const file = ours('../../docs/metrics.md')
  return existsSync(file) ? asset(PAGE_URLS.reference, 'text/plain', file) : undefined
}

function asset(path: string, type: string, ...files: readonly string[]): Asset {
  const bytes = new Uint8Array(Buffer.concat(files.map((file) => readFileSync(file))))
  const hash = createHash('sha256').update(bytes).digest('hex').slice(0, 12)
  return {
    path,
    url: `.${path}?v=${hash}`,
    contentType: `${type}; charset=utf-8`,
    bytes,
    zipped: new Uint8Array(gzipSync(bytes)),
  }
}
