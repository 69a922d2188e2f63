// Tests the web configuration file and socket activation by systemd. The exporter runs as its own process, with a real
// Prosody and real Prometheus servers that authenticate.

import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { hashSync } from 'bcryptjs'
import { findPython } from '../support/setup/programs.js'
import { freePort, root, temporaryDirectory, until } from '../support/setup/process.js'
import { httpGet, PROGRAM, runExporter } from '../support/exporter.js'
import { prometheusVersions, withPrometheus } from '../support/prometheus.js'
import { SECRET, withProsody } from '../support/prosody.js'
import { createAuthority, curl } from '../support/web.js'

const PASSWORD = 'correct horse'
const TOKEN = 'c29tZS10b2tlbg'

/** Creates a directory with a certificate for the exporter, and a function that writes files to it. */
async function setUp(t: TestContext) {
  const { path: directory, remove } = await temporaryDirectory('prosody-exporter-web')
  t.after(remove)
  const file = (name: string, text: string) => {
    writeFileSync(join(directory, name), text, { mode: 0o600 })
    return join(directory, name)
  }
  const ca = await createAuthority(directory, 'ca')
  await ca.issue('exporter', 'IP:127.0.0.1')
  return { directory, file, ca }
}

test('over TLS, Prometheus servers with a client certificate and a password or token can scrape, and others get 401', async (t) => {
  const { directory, file, ca } = await setUp(t)
  await ca.issue('prometheus', 'DNS:prometheus.example')
  const prosody = await withProsody(t, { version: '13.0.1' })
  file('token', TOKEN)
  file('password', PASSWORD)
  const config = file(
    'web.yml',
    `tls_server_config:
  cert_file: exporter.crt
  key_file: exporter.key
  client_auth_type: VerifyClientCertIfGiven
  client_ca_file: ca.crt
basic_auth_users:
  prometheus: ${hashSync(PASSWORD, 8)}
bearer_token_files: [token]
`,
  )
  const port = await freePort()
  const exporter = runExporter({
    flags: [
      `--web.listen-address=127.0.0.1:${port}`,
      `--web.config.file=${config}`,
      `--xmpp.service=${prosody.service}`,
      `--xmpp.domain=${prosody.statsDomains[0]}`,
    ],
    env: { PROSODY_EXPORTER_XMPP_SECRET: SECRET },
  })
  t.after(() => exporter.stop())
  const url = `https://127.0.0.1:${port}`
  const ask = (...args: string[]) => curl(directory, '--cacert', 'ca.crt', ...args)
  await until(async () => (await ask(`${url}/-/healthy`)).status === 401, {
    what: 'the exporter listens',
  })

  const tls = `ca_file: ${ca.file}`
  const pair = `cert_file: ${join(directory, 'prometheus.crt')}, key_file: ${join(directory, 'prometheus.key')}`
  for (const major of prometheusVersions) {
    const target = `${url}/metrics`
    const prometheus = await withPrometheus(t, {
      major,
      jobs: [
        {
          name: 'password',
          target,
          extra: [
            'scheme: https',
            `tls_config: { ${tls}, ${pair} }`,
            `basic_auth: { username: prometheus, password_file: ${join(directory, 'password')} }`,
          ],
        },
        {
          name: 'token',
          target,
          extra: [
            'scheme: https',
            `tls_config: { ${tls} }`,
            `authorization: { credentials_file: ${join(directory, 'token')} }`,
          ],
        },
        { name: 'nobody', target, extra: ['scheme: https', `tls_config: { ${tls} }`] },
      ],
      intervalMs: 500,
    })
    await prometheus.scrapes('password', 2)
    await prometheus.scrapes('token', 2)
    for (const job of ['password', 'token']) {
      const [up] = await prometheus.query(`xmpp_up{job="${job}"}`)
      assert.equal(up?.value, 1, job)
    }
    const [refused] = await prometheus.targets('nobody')
    assert.match(refused?.lastError ?? '', /401/)
    assert.deepEqual(await prometheus.query('xmpp_up{job="nobody"}'), [])
  }

  const login = ['-u', `prometheus:${PASSWORD}`]
  const page = await ask(...login, `${url}/`)
  assert.equal(page.status, 200)
  assert.equal((await ask(`${url}/`)).status, 401)
  const shown = await ask(...login, `${url}/config`)
  assert.match(shown.body, /config_file: .*web\.yml/)
  const text = exporter.stderr() + shown.body + page.body
  for (const secret of [PASSWORD, TOKEN, '$2b$']) assert.ok(!text.includes(secret))
  const { body } = await ask(...login, `${url}/metrics`)
  assert.match(body, /^prosody_exporter_web_config_last_reload_successful 1$/m)
})

test('real Prometheus servers discover their targets through /sd over HTTP/2', async (t) => {
  const { directory, file, ca } = await setUp(t)
  const prosody = await withProsody(t, { version: '13.0.1' })
  file('secret', SECRET)
  const servers = prosody.statsDomains.map(
    (domain, i) =>
      `  - { name: s${i}, domain: ${domain}, service: "${prosody.service}", secret_file: secret }\n`,
  )
  const port = await freePort()
  const exporter = runExporter({
    flags: [
      `--web.listen-address=127.0.0.1:${port}`,
      `--config.file=${file('config.yml', `servers:\n${servers.join('')}`)}`,
      `--web.config.file=${file('web.yml', 'tls_server_config: { cert_file: exporter.crt, key_file: exporter.key }\n')}`,
    ],
  })
  t.after(() => exporter.stop())
  const url = `https://127.0.0.1:${port}`
  const ask = (...args: string[]) => curl(directory, '--cacert', 'ca.crt', ...args)
  await until(async () => (await ask(`${url}/-/healthy`)).status === 200, {
    what: 'the exporter listens',
  })
  for (const version of ['--http1.1', '--http2']) {
    const { status, body } = await ask(version, `${url}/sd`)
    assert.equal(status, 200, version)
    assert.match(body, new RegExp(`"targets":\\["127\\.0\\.0\\.1:${port}"\\]`))
    const page = await ask(version, `${url}/`)
    assert.ok(page.body.includes(`127.0.0.1:${port}`), 'the page shows the address for Prometheus')
  }
  for (const major of prometheusVersions) {
    const prometheus = await withPrometheus(t, {
      major,
      jobs: [
        {
          name: 'found',
          target: `${url}/sd`,
          discovery: true,
          extra: [`tls_config: { ca_file: ${ca.file} }`],
        },
      ],
    })
    await until(
      async () => {
        const found = await prometheus.query('xmpp_up{job="found"} == 1')
        return (
          found
            .map(({ labels }) => labels.instance)
            .sort()
            .join() === 's0,s1'
        )
      },
      { what: `Prometheus ${major} scrapes both servers` },
    )
    assert.ok((await prometheus.targets('found')).every(({ health }) => health === 'up'))
  }
})

test('the exporter accepts connections on the sockets that systemd passes to it', async (t) => {
  const port = await freePort()
  // Like systemd, this Python script opens a listening socket and passes it as file descriptor 3. The variable
  // LISTEN_PID has the id of the process that gets the socket.
  const script = `import os, socket, sys
s = socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind(("127.0.0.1", ${port})); s.listen()
if s.fileno() != 3: os.dup2(s.fileno(), 3)
os.set_inheritable(3, True)
os.environ["LISTEN_FDS"] = "1"; os.environ["LISTEN_PID"] = str(os.getpid())
os.execvp(sys.argv[1], sys.argv[1:])`
  const flags = ['--web.systemd-socket', '--xmpp.domain=stats.example']
  const program = [process.execPath, ...PROGRAM, ...flags]
  const { command, env } = await findPython()
  const child = spawn(command, ['-c', script, ...program], {
    cwd: root,
    env: { ...env, PROSODY_EXPORTER_XMPP_SECRET: SECRET },
    stdio: 'ignore',
  })
  t.after(() => child.kill('SIGKILL'))
  const status = async () => (await httpGet(`http://127.0.0.1:${port}/-/healthy`)).status
  await until(async () => (await status().catch(() => 0)) === 200, { what: 'the exporter answers' })
  child.kill('SIGTERM')
  assert.deepEqual(await once(child, 'exit'), [0, null])

  const without = runExporter({ flags, env: { PROSODY_EXPORTER_XMPP_SECRET: SECRET } })
  assert.equal(await without.exited, 2)
  assert.match(
    without.stderr(),
    /^prosody-exporter: --web\.systemd-socket: expected sockets of systemd, got none.*\n$/,
  )
})
