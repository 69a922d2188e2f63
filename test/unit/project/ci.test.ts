// Workflows only call scripts of the repository, so that everyone can run the same commands.

import assert from 'node:assert/strict'
import { accessSync, chmodSync, constants, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join, relative } from 'node:path'
import process from 'node:process'
import { test } from 'node:test'
import { parse } from 'yaml'
import { generatedPages } from '../../../tools/generated-docs.js'
import { root, run, temporaryDirectory } from '../../support/setup/process.js'

type Workflow = {
  readonly permissions: unknown
  readonly jobs: Record<string, { readonly steps: readonly { run?: string; uses?: string }[] }>
}

const read = (path: string) => readFileSync(join(root, path), 'utf8')
const { scripts, version } = JSON.parse(read('package.json')) as {
  scripts: Record<string, string>
  version: string
}

for (const file of readdirSync(join(root, '.github/workflows'))) {
  test(`.github/workflows/${file} runs only scripts of the repository, with read access`, () => {
    const { jobs, permissions } = parse(read(`.github/workflows/${file}`)) as Workflow
    assert.deepEqual(permissions, { contents: 'read' })
    for (const { run: command, uses } of Object.values(jobs).flatMap(({ steps }) => steps)) {
      if (command === undefined) {
        assert.match(uses ?? '', /^actions\/(checkout|upload-artifact)@v\d+$/)
        continue
      }
      const [program = '', name = ''] = command.split(' ')
      if (program === 'npm') assert.ok(Object.hasOwn(scripts, name), command)
      else accessSync(join(root, program), constants.X_OK)
    }
  })
}

test('each field of an issue form has a unique id', () => {
  for (const name of ['bug_report', 'feature_request']) {
    const { body } = parse(read(`.github/ISSUE_TEMPLATE/${name}.yml`)) as {
      body: { type: string; id?: string }[]
    }
    const ids = body.filter(({ type }) => type !== 'markdown').map(({ id }) => id)
    assert.ok(ids.length > 2 && ids.every((id) => id !== undefined))
    assert.equal(new Set(ids).size, ids.length)
  }
})

test('.ci/image builds and saves the image with the engine that exists', async (t) => {
  const directory = await temporaryDirectory('prosody-exporter-ci')
  t.after(() => directory.remove())
  const { path } = directory
  const script = join(root, '.ci/image')
  const PATH = `${path}:${join(process.execPath, '../..')}:/usr/bin:/bin`
  writeFileSync(join(path, 'podman'), `#!/bin/sh\necho "$@" >> ${path}/calls\n`)
  chmodSync(join(path, 'podman'), 0o755)
  const { code, output } = await run(script, [join(path, 'out')], { env: { PATH } })
  assert.equal(code, 0, output)
  const image = `prosody-exporter:${version}`
  const archive = join(path, `out/prosody-exporter-${version}.image.tar`)
  assert.deepEqual(readFileSync(join(path, 'calls'), 'utf8').trim().split('\n'), [
    `build --file deploy/Containerfile --tag ${image} .`,
    `save --output ${archive} ${image}`,
  ])
})

test('npm publish is refused while package.json has placeholders', async () => {
  const { code, output } = await run(process.execPath, [join(root, 'tools/check-owner.js')])
  const hasPlaceholders = /\.invalid\b/.test(read('package.json'))
  assert.equal(code, hasPlaceholders ? 1 : 0)
  if (hasPlaceholders) assert.match(output, /see docs\/releasing\.md/)
})

test('package.json is the only place with placeholders for the owner, except the links that npm run docs writes', async () => {
  const generated = await generatedPages()
  const folders = ['.github', '.ci', 'deploy', 'docs', 'prosody-modules', 'tools', 'src']
  const files = folders.flatMap((folder) =>
    readdirSync(join(root, folder), { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile() && !entry.name.endsWith('.png'))
      .map(({ parentPath, name }) => join(parentPath, name)),
  )
  const pages = ['README.md', 'CONTRIBUTING.md', 'SECURITY.md', 'CHANGELOG.md', 'LICENSE']
  for (const file of [...files, ...pages.map((page) => join(root, page))]) {
    const text = readFileSync(file, 'utf8')
    const isGenerated = generated.has(relative(root, file))
    const own = isGenerated ? text.replace(/https:\/\/[^\s"]+\/blob\/main\/docs\//g, '') : text
    assert.doesNotMatch(own, /owner\.invalid|\bOWNER\b/, file)
  }
})
