// Each recipe in docs/recipes is short and has a check, and the files that it names agree with the program.

import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { parse, parseAllDocuments } from 'yaml'
import { isFlag, SETTINGS, toVariableName } from '../../../src/config/settings.js'
import { blocksOf, withoutBlocks } from '../../support/pages.js'
import { root } from '../../support/setup/process.js'

const read = (path: string) => readFileSync(join(root, path), 'utf8')
const filesIn = (folder: string) =>
  readdirSync(join(root, folder)).map((name) => join(folder, name))

const RECIPES = filesIn('docs/recipes')
const KUBERNETES = filesIn('deploy/kubernetes')
const CONTAINER_FILES = [
  ...['deploy/Containerfile', 'deploy/compose.yml', 'deploy/compose.cfg.lua'],
  ...KUBERNETES,
]

const MAX_STEPS = 5
const TESTED = [
  /^Tested: run on \d{4}-\d{2}-\d{2} with (Prosody|ejabberd) \d.* \(.+\)$/,
  /^Tested: configuration checked only, \d{4}-\d{2}-\d{2} \(.+\)$/,
]

for (const recipe of RECIPES) {
  describe(recipe, () => {
    const page = read(recipe)
    const sections = withoutBlocks(page).split(/^## /m).slice(1)

    test(`has one to ${MAX_STEPS} steps in each section with steps`, () => {
      const steps = sections.filter((section) => section.startsWith('Steps'))
      assert.ok(steps.length > 0)
      for (const section of steps) {
        const numbers = Array.from(section.matchAll(/^(\d+)\. /gm), ([, number]) => Number(number))
        assert.deepEqual(
          numbers,
          [...numbers.keys()].map((index) => index + 1),
        )
        assert.ok(numbers.length >= 1 && numbers.length <= MAX_STEPS, `${numbers.length} steps`)
      }
      const others = sections.filter((section) => !section.startsWith('Steps'))
      assert.doesNotMatch(others.join('\n'), /^\d+\. /m)
    })

    test('has a check, and ends with the way in which it was tested', () => {
      assert.match(page, /^\*\*Check:\*\* /m)
      const last = page.trimEnd().split('\n').at(-1)!
      assert.ok(
        TESTED.some((pattern) => pattern.test(last)),
        last,
      )
    })

    test('has only valid YAML', () => {
      for (const block of blocksOf(page, 'yaml')) assert.equal(typeof parse(block), 'object')
    })
  })
}

const YAML_FILES = CONTAINER_FILES.filter((path) => path.endsWith('.yml') || path.endsWith('.yaml'))
for (const path of YAML_FILES) {
  test(`${path} is valid YAML`, () => {
    for (const document of parseAllDocuments(read(path))) {
      assert.deepEqual(document.errors, [])
      assert.equal(typeof document.toJS(), 'object')
    }
  })
}

describe('the files for containers', () => {
  const variables: ReadonlySet<string> = new Set(SETTINGS.map(({ name }) => toVariableName(name)))
  const flags: ReadonlySet<string> = new Set(SETTINGS.filter(isFlag).map(({ name }) => name))

  for (const path of CONTAINER_FILES) {
    test(`${path} uses only variables and flags that exist`, () => {
      const text = read(path)
      for (const [variable] of text.matchAll(/PROSODY_EXPORTER_[A-Z_]+/g)) {
        assert.ok(variables.has(variable), variable)
      }
      for (const [, flag] of text.matchAll(/--((?:config|xmpp|web|collector|log)\.[\w.-]*\w)/g)) {
        assert.ok(flags.has(flag!), `--${flag}`)
      }
    })
  }

  const secretOf = (path: string) => /FileLine\("([^"]+)"\)/.exec(read(path))?.[1]

  test('deploy/compose.yml gives both containers the secret that compose.cfg.lua reads', () => {
    const { services, secrets } = parse(read('deploy/compose.yml')) as {
      services: Record<string, { secrets: string[]; volumes?: string[] }>
      secrets: Record<string, unknown>
    }
    const [name] = Object.keys(secrets)
    assert.deepEqual(
      Object.values(services).map((service) => service.secrets),
      [[name], [name]],
    )
    assert.equal(secretOf('deploy/compose.cfg.lua'), `/run/secrets/${name}`)
    assert.match(
      read('deploy/Containerfile'),
      new RegExp(`XMPP_SECRET_FILE=/run/secrets/${name}$`, 'm'),
    )
    assert.ok(
      services['prosody']?.volumes?.some((volume) => volume.startsWith('./compose.cfg.lua:')),
    )
  })

  test('deploy/kubernetes/sidecar.yaml mounts the secret where both containers read it', () => {
    type Container = {
      name: string
      env?: { name: string; value: string }[]
      volumeMounts: { name: string; mountPath: string }[]
    }
    const { spec } = parse(read('deploy/kubernetes/sidecar.yaml')) as {
      spec: { template: { spec: { containers: Container[]; volumes: { name: string }[] } } }
    }
    const { containers, volumes } = spec.template.spec
    const names = new Set(volumes.map(({ name }) => name))
    for (const { name, volumeMounts } of containers) {
      for (const mount of volumeMounts) assert.ok(names.has(mount.name), `${name}: ${mount.name}`)
      const mounted = volumeMounts.find((mount) => mount.name === 'prosody-exporter-secret')
      assert.equal(
        `${mounted?.mountPath}/xmpp.secret`,
        secretOf('deploy/kubernetes/prosody-exporter.cfg.lua'),
      )
    }
    const env = containers.find(({ name }) => name === 'prosody-exporter')?.env ?? []
    const valueOf = (variable: string) => env.find(({ name }) => name === variable)?.value
    const config = read('deploy/kubernetes/prosody-exporter.cfg.lua')
    assert.equal(
      valueOf('PROSODY_EXPORTER_XMPP_SECRET_FILE'),
      /FileLine\("(.+)"\)/.exec(config)?.[1],
    )
    assert.equal(valueOf('PROSODY_EXPORTER_XMPP_DOMAIN'), /Component "(.+)"/.exec(config)?.[1])
  })
})
