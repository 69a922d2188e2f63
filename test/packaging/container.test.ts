import assert from 'node:assert/strict'
import { chown, cp, mkdir, readdir, readFile, writeFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import process from 'node:process'
import { test } from 'node:test'
import { parse } from 'yaml'
import {
  networkEnvironment,
  launch,
  root,
  run,
  temporaryDirectory,
  until,
} from '../support/setup/process.js'
import { httpGet } from '../support/exporter.js'
import { withProsody } from '../support/prosody.js'
import { sampleValue } from '../support/real.js'
import { withSmallDebian } from '../support/small-debian.js'

type Step = { readonly word: string; readonly rest: string }

/** Parses a Containerfile, and returns the steps of each stage. */
function readStages(text: string): Step[][] {
  const stages: Step[][] = []
  for (const line of text.split('\n').filter((line) => /^[A-Z]/.test(line))) {
    const [word = '', ...rest] = line.split(' ')
    if (word === 'FROM') stages.push([])
    stages.at(-1)?.push({ word, rest: rest.join(' ') })
  }
  return stages
}

/** Returns the service of the exporter in deploy/compose.yml. */
async function readExporterService() {
  const { services } = parse(await readFile(join(root, 'deploy/compose.yml'), 'utf8')) as {
    services: Record<string, { environment: Record<string, string>; volumes: string[] }>
  }
  return services['prosody-exporter']!
}

// This script does the same as a container engine for `--read-only` and USER: the root directory is read-only, and the
// program runs as a user who owns no files there. The directory of the history is on a volume. If the test does not run as root, its own user becomes that user.
const IN_IMAGE = `
set -e
root=$1 user=$2; shift 2
mount --bind "$root" "$root"
for each in dev proc; do mount --rbind "/$each" "$root/$each"; done
mount --bind "$root$state" "$root$state"
mount -o remount,bind,ro "$root"
if [ "$isRoot" = true ]; then exec chroot --userspec="$user:$user" "$root" "$@"; fi
exec unshare --user --map-user="$user" --map-group="$user" --root="$root" "$@"`

// The test machine has no container engine. So the test runs the steps of the Containerfile with the Node.js of the
// machine, in a directory instead of an image. It checks that the copied files are enough for the build, and that the
// result runs in a small Debian system instead of the base image.
test('the Containerfile builds from the files that it copies, and the result runs on a read-only root as an unprivileged user', async (t) => {
  const [build = [], image = []] = readStages(
    await readFile(join(root, 'deploy/Containerfile'), 'utf8'),
  )
  const directory = await temporaryDirectory('prosody-exporter-container')
  t.after(() => directory.remove())
  const prosody = await withProsody(t, { version: '13.0.1' })
  const inside = (path: string) => join(directory.path, path)
  const env: Record<string, string> = {}
  let workdir = '/'
  const runStep = async ({ word, rest }: Step) => {
    if (word === 'WORKDIR') {
      workdir = rest
      await mkdir(inside(workdir), { recursive: true })
    } else if (word === 'COPY') {
      const names = rest.split(' ').filter((part) => !part.startsWith('--'))
      const isFromBuild = rest.startsWith('--from=build ')
      const target = inside(resolve(workdir, names.at(-1) ?? ''))
      for (const name of names.slice(0, -1)) {
        const source = isFromBuild ? inside(name) : join(root, name)
        await cp(source, rest.endsWith('/') ? join(target, name.split('/').at(-1)!) : target, {
          recursive: true,
        })
      }
    } else if (word === 'RUN') {
      const cwd = inside(workdir)
      const { PATH, HOME } = process.env
      const env = { PATH, HOME, ...networkEnvironment() }
      const { code, output } = await run('sh', ['-c', rest], { cwd, env })
      assert.equal(code, 0, `${rest}: ${output}`)
    } else if (word === 'ENV') {
      const [name = '', value = ''] = rest.split('=')
      env[name] = value
    }
  }
  for (const step of [...build, ...image]) await runStep(step)
  const last = (word: string) => image.findLast((step) => step.word === word)?.rest ?? ''
  const [, user = ''] = /^([1-9]\d+):\1$/.exec(last('USER')) ?? []
  assert.ok(user, 'USER in the Containerfile is a number other than 0')

  // In the image, the exporter listens on all addresses. The test uses a free port instead of the port of the image.
  assert.equal(env['PROSODY_EXPORTER_WEB_LISTEN_ADDRESS'], `:${last('EXPOSE')}`)
  const debian = await withSmallDebian(t)
  await cp(inside('/app'), join(debian.root, 'app'), { recursive: true })
  const secret = env['PROSODY_EXPORTER_XMPP_SECRET_FILE'] ?? ''
  await mkdir(join(debian.root, secret, '..'), { recursive: true })
  await writeFile(join(debian.root, secret), prosody.secret, { mode: 0o400 })
  const isRoot = process.getuid?.() === 0
  if (isRoot) await chown(join(debian.root, secret), Number(user), Number(user))
  const [domain = ''] = prosody.statsDomains
  const { environment, volumes } = await readExporterService()
  const state = environment['PROSODY_EXPORTER_STATE_DIRECTORY'] ?? ''
  assert.ok(volumes.some((volume) => volume.endsWith(`:${state}`)))
  // A new volume gets the owner of the directory in the image.
  const copy = image.find(({ rest }) => rest.endsWith(` ${state}`))
  assert.match(copy?.rest ?? '', new RegExp(`--chown=${user}:${user} `))
  await cp(inside(state), join(debian.root, state), { recursive: true })
  if (isRoot) await chown(join(debian.root, state), Number(user), Number(user))
  const enter = [...(isRoot ? [] : ['--user', '--map-root-user']), '--mount', 'sh', '-c', IN_IMAGE]
  const options = {
    env: {
      ...env,
      PATH: '/usr/bin:/usr/sbin',
      isRoot: String(isRoot),
      state,
      PROSODY_EXPORTER_STATE_DIRECTORY: state,
      PROSODY_EXPORTER_WEB_LISTEN_ADDRESS: ':0',
      PROSODY_EXPORTER_XMPP_SERVICE: prosody.service,
      PROSODY_EXPORTER_XMPP_DOMAIN: domain,
    },
  }
  const within = (...command: string[]) => [...enter, 'sh', debian.root, user, ...command]
  assert.equal((await run('unshare', within('id', '-u'), options)).stdout, `${user}\n`)
  for (const path of ['/app/x', '/tmp/x', '/run/x'])
    assert.match(
      (await run('unshare', within('touch', path), options)).output,
      /Read-only file sys/,
    )

  const child = launch('unshare', within(...(JSON.parse(last('ENTRYPOINT')) as string[])), options)
  t.after(() => child.stop())
  let base = ''
  const text = await until(
    async () => {
      assert.ok(child.running(), child.stderr())
      const [, port] = /:(\d+)\D*$/m.exec(child.stderr().match(/listening.*/)?.[0] ?? '') ?? []
      // The test connects to 127.0.0.2, to check that the exporter listens on all addresses and not only on 127.0.0.1.
      base = `http://127.0.0.2:${port ?? 1}`
      const answer = await httpGet(`${base}/metrics`).catch(() => undefined)
      return answer && sampleValue(answer.text, 'xmpp_up') === 1 && answer.text
    },
    { what: 'the exporter is up' },
  ).catch((error: unknown) => {
    throw new Error(child.stderr(), { cause: error })
  })
  assert.match(text, /^prosody_mod_muc__live_room/m)
  for (const [name, expected] of [
    ['metrics.md', /^# /],
    ['operations.md', /^# /],
    ['rules.yml', /^groups:/m],
    ['prosody.json', /^\{/],
  ] as const) {
    assert.match((await httpGet(`${base}/-/page/${name}`)).text, expected, `no ${name}`)
  }
  assert.doesNotMatch(child.stderr(), /level=(WARN|ERROR)/)
  await child.stop()
  assert.deepEqual(await readdir(join(debian.root, state)), [`${domain}.history`])
})
