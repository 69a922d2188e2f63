// Finds out which source files the exporter loads.

import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import process from 'node:process'
import type { TestContext } from 'node:test'
import { SOURCE } from './exporter.js'
import { freePort, launch, root, temporaryDirectory, until } from './setup/process.js'

/** Runs the exporter from its source until it answers, and returns the files in `src/` that it has loaded. */
export async function listLoadedFiles(t: TestContext, flags: readonly string[]): Promise<string[]> {
  const { path, remove } = await temporaryDirectory('prosody-exporter-loaded')
  t.after(remove)
  const port = await freePort()
  const { PATH, HOME } = process.env
  const child = launch(
    process.execPath,
    [
      ...SOURCE,
      `--web.listen-address=127.0.0.1:${port}`,
      `--xmpp.service=xmpp://127.0.0.1:${await freePort()}`,
      '--xmpp.domain=stats.one.example',
      ...flags,
    ],
    // With NODE_V8_COVERAGE, Node.js writes the names of all loaded files when it exits.
    {
      cwd: root,
      env: { PATH, HOME, PROSODY_EXPORTER_XMPP_SECRET: 'secret', NODE_V8_COVERAGE: path },
    },
  )
  t.after(() => child.stop())
  await until(
    async () => {
      assert.ok(child.running(), child.output())
      return (await fetch(`http://127.0.0.1:${port}/metrics`).catch(() => undefined))?.ok
    },
    { what: 'the exporter answers' },
  )
  await child.stop(60_000)
  const urls = readdirSync(path).flatMap((name) => {
    const { result } = JSON.parse(readFileSync(join(path, name), 'utf8')) as {
      result: { url: string }[]
    }
    return result.map(({ url }) => url)
  })
  const loaded = new Set(urls.flatMap((url) => /\/src\/(.*\.ts)$/.exec(url)?.[1] ?? []))
  assert.ok(loaded.has('exporter.ts'), `the exporter loaded ${[...loaded].join(' ')}`)
  return [...loaded]
}
