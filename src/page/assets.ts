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

/** A file to which the status page links, so that the reader needs no copy of the repository. */
export type LinkedFile = {
  readonly asset: Asset
  readonly text: string
  readonly description: string
}

/** Reads the files to which the page links. A file that is not installed is omitted. */
export function readLinkedFiles(directory: URL): LinkedFile[] {
  return LINKED_FILES.flatMap(({ path, file, type, text, description }) => {
    const name = fileURLToPath(new URL(`../${file}`, directory))
    return existsSync(name) ? [{ asset: readAsset(path, type, name), text, description }] : []
  })
}

const LINKED_FILES = [
  {
    path: PAGE_URLS.dashboard,
    file: 'deploy/grafana/prosody.json',
    type: 'application/json',
    text: 'Dashboard',
    description: 'to import in Grafana',
  },
  {
    path: PAGE_URLS.alerts,
    file: 'deploy/prometheus/rules.yml',
    type: 'text/plain',
    text: 'Alerts',
    description: 'rules for Prometheus',
  },
  {
    path: PAGE_URLS.reference,
    file: 'docs/metrics.md',
    type: 'text/plain',
    text: 'Reference',
    description: 'the meaning of each metric',
  },
  {
    path: PAGE_URLS.operations,
    file: 'docs/operations.md',
    type: 'text/plain',
    text: 'Operations',
    description: 'upgrades, alerts, messages',
  },
] as const

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
