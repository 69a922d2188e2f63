import { createHash } from 'node:crypto'
import { existsSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { fileURLToPath } from 'node:url'
import { gzipSync } from 'node:zlib'
import { PAGE_URLS } from '../config/page-paths.js'

/**
 * A static file of the status page. Browsers can cache the file forever, because its URL contains a hash of its
 * content.
 */
export type Asset = {
  readonly path: string
  /** The URL of the file, relative to the URL of the status page. */
  readonly url: string
  readonly contentType: string
  readonly bytes: Uint8Array<ArrayBuffer>
  readonly gzipped: Uint8Array<ArrayBuffer>
}

const resolvePackageFile = (file: string) => createRequire(import.meta.url).resolve(file)

/** @param directory The directory that contains main.js: `src/` or `dist/`. */
export function readAssets(directory: URL) {
  const resolveFile = (file: string) => fileURLToPath(new URL(`page/client/${file}`, directory))
  const uplot = {
    script: resolvePackageFile('uplot/dist/uPlot.iife.min.js'),
    style: resolvePackageFile('uplot/dist/uPlot.min.css'),
  }
  return {
    script: readAsset(PAGE_URLS.script, 'text/javascript', resolveFile('page.js')),
    charts: readAsset(PAGE_URLS.charts, 'text/javascript', uplot.script),
    style: readAsset(PAGE_URLS.style, 'text/css', uplot.style, resolveFile('page.css')),
    icon: readAsset(PAGE_URLS.icon, 'image/svg+xml', resolveFile('icon.svg')),
  }
}

/**
 * Reads docs/metrics.md, which explains each metric family. Returns `undefined` if this file is not installed.
 */
export function readReference(directory: URL): Asset | undefined {
  const file = fileURLToPath(new URL('../docs/metrics.md', directory))
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
