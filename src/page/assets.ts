import { createHash } from 'node:crypto'
import { existsSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { fileURLToPath } from 'node:url'
import { gzipSync } from 'node:zlib'
import { PAGE_URLS } from '../config/page-paths.js'

/** A file of the page. Browsers may cache it forever, because its URL contains a hash of its content. */
export type Asset = {
  readonly path: string
  /** Relative to the page. */
  readonly url: string
  readonly contentType: string
  readonly bytes: Uint8Array<ArrayBuffer>
  readonly gzipped: Uint8Array<ArrayBuffer>
}

const resolveFile = (file: string) => fileURLToPath(new URL(file, import.meta.url))
const resolvePackageFile = (file: string) => createRequire(import.meta.url).resolve(file)

export function readAssets() {
  const uplot = {
    script: resolvePackageFile('uplot/dist/uPlot.iife.min.js'),
    style: resolvePackageFile('uplot/dist/uPlot.min.css'),
  }
  return {
    script: readAsset(PAGE_URLS.script, 'text/javascript', resolveFile('client/page.js')),
    charts: readAsset(PAGE_URLS.charts, 'text/javascript', uplot.script),
    style: readAsset(PAGE_URLS.style, 'text/css', uplot.style, resolveFile('client/page.css')),
    icon: readAsset(PAGE_URLS.icon, 'image/svg+xml', resolveFile('client/icon.svg')),
  }
}

/** Reads docs/metrics.md, which explains each metric family. Packages have it beside `dist`. */
export function readReference(): Asset | undefined {
  const file = resolveFile('../../docs/metrics.md')
  return existsSync(file) ? readAsset(PAGE_URLS.reference, 'text/plain', file) : undefined
}

function readAsset(path: string, type: string, ...files: readonly string[]): Asset {
  const bytes = new Uint8Array(Buffer.concat(files.map((file) => readFileSync(file))))
  const hash = createHash('sha256').update(bytes).digest('hex').slice(0, 12)
  return {
    path,
    url: `.${path}?v=${hash}`,
    contentType: `${type}; charset=utf-8`,
    bytes,
    gzipped: new Uint8Array(gzipSync(bytes)),
  }
}
