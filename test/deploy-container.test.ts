import assert from 'node:assert/strict'
import { cp, mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import process from 'node:process'
import { test } from 'node:test'
import { launch, root, run, temporaryDirectory, until } from '../scripts/process.js'
import { httpGet } from './helpers/exporter.js'
import { withProsody } from './helpers/prosody.js'
import { sampleValue } from './helpers/real.js'

type Step = { readonly word: string; readonly rest: string }

/** The steps of each stage. */
function readStages(text: string): Step[][] {
  const stages: Step[][] = []
  for (const line of text.split('\n').filter((line) => /^[A-Z]/.test(line))) {
    const [word = '', ...rest] = line.split(' ')
    if (word === 'FROM') stages.push([])
    stages.at(-1)?.push({ word, rest: rest.join(' ') })
  }
  return stages
}

// No container engine runs where this does. So the steps are taken as they are written, but with this
// machine's Node.js and in a directory in place of the image: what is copied, that it builds, and that
// what is left at the end serves. Not shown: the base image, and the engine's --read-only and user, in
// whose place the service's test runs the same program without a right to write anywhere.
test('the Containerfile builds from what it copies, and serves on all addresses', async (t) => {
  const [build = [], image = []] = readStages(
    await readFile(join(root, 'deploy/Containerfile'), 'utf8'),
  )
  const directory = await temporaryDirectory('prosody-exporter-container')
  t.after(() => directory.remove())
  const prosody = await withProsody(t, { version: '13.0.1' })
  const inside = (path: string) => join(directory.path, path)
  const env: Record<string, string> = {}
  let workdir = '/'
  const take = async ({ word, rest }: Step) => {
    if (word === 'WORKDIR') {
      workdir = rest
      await mkdir(inside(workdir), { recursive: true })
    } else if (word === 'COPY') {
      const parts = rest.split(' ')
      const isFromBuild = parts[0] === '--from=build'
      const names = isFromBuild ? parts.slice(1) : parts
      const target = join(inside(workdir), names.at(-1) ?? '')
      for (const name of names.slice(0, -1)) {
        const source = isFromBuild ? inside(name) : join(root, name)
        await cp(source, rest.endsWith('/') ? join(target, name.split('/').at(-1)!) : target, {
          recursive: true,
        })
      }
    } else if (word === 'RUN') {
      const cwd = inside(workdir)
      const { PATH, HOME } = process.env
      const { code, output } = await run('sh', ['-c', rest], { cwd, env: { PATH, HOME } })
      assert.equal(code, 0, `${rest}: ${output}`)
    } else if (word === 'ENV') {
      const [name = '', value = ''] = rest.split('=')
      env[name] = value
    }
  }
  for (const step of [...build, ...image]) await take(step)
  const last = (word: string) => image.findLast((step) => step.word === word)?.rest ?? ''
  assert.match(last('USER'), /^[1-9]\d+:[1-9]\d+$/)

  // All addresses, on a port that is free here.
  assert.equal(env['PROSODY_EXPORTER_WEB_LISTEN_ADDRESS'], `:${last('EXPOSE')}`)
  const [domain = ''] = prosody.statsDomains
  const secret = inside('xmpp.secret')
  await writeFile(secret, prosody.secret, { mode: 0o400 })
  const [, program = ''] = JSON.parse(last('ENTRYPOINT')) as string[]
  const child = launch(process.execPath, [inside(program)], {
    env: {
      ...env,
      PROSODY_EXPORTER_WEB_LISTEN_ADDRESS: ':0',
      PROSODY_EXPORTER_XMPP_SECRET_FILE: secret,
      PROSODY_EXPORTER_XMPP_SERVICE: prosody.service,
      PROSODY_EXPORTER_XMPP_DOMAIN: domain,
    },
  })
  t.after(() => child.stop())
  const text = await until(
    async () => {
      assert.ok(child.running(), child.stderr())
      const [, port] = /:(\d+)\D*$/m.exec(child.stderr().match(/listening.*/)?.[0] ?? '') ?? []
      // Not the address that programs listen on when nobody tells them another.
      const answer = await httpGet(`http://127.0.0.2:${port ?? 1}/metrics`).catch(() => undefined)
      return answer && sampleValue(answer.text, 'xmpp_up') === 1 && answer.text
    },
    { what: 'it serves' },
  ).catch((error: unknown) => {
    throw new Error(child.stderr(), { cause: error })
  })
  assert.match(text, /^prosody_mod_muc__live_room/m)
})
