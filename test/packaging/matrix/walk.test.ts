// Follows the documentation like a new user, on a machine with the package but without the repository. The test reads
// the documentation from the package. The commands that it takes with `documented` must be in the documentation. Other
// commands prepare the machine, or replace steps that a user does by hand. All other programs, except npm, come from
// Debian and use their default ports.

import assert from 'node:assert/strict'
import { join } from 'node:path'
import process from 'node:process'
import { describe, test } from 'node:test'
import { launch, root, run, until } from '../../support/setup/process.js'
import { queriesOf, withVariables, type Dashboard } from '../../support/dashboard.js'
import type { Machine } from '../../support/machine.js'
import { blocksOf, withoutIndentation } from '../../support/pages.js'
import {
  EXPORTER_PACKAGES,
  PACKAGE_NAMES,
  withInstalledExporter,
  type PackageName,
} from './exporter-packages.js'

const HOST = 'xmpp.example.com'
const PASSWORD = 'correct horse'
const CONFIG = '/etc/prosody-exporter'

const JITSI = "Jitsi's modules are not loaded"
const OUTSIDE = 'no domain is checked from outside'

/** The panels of the dashboard that have a query without data, and the reason. */
const EMPTY: Readonly<Record<string, string>> = {
  'Connections with other servers': 'there is no other server',
  'Outgoing connections started and authenticated per second': 'there is no other server',
  'Incoming connections accepted and authenticated per second': 'there is no other server',
  'Streams closed per second': 'there is no other server',
  'Authenticated connections per second, by mechanism': 'there is no other server',
  'Certificates of other servers checked per second': 'there is no other server',
  'Encrypted server connections per second, by cipher': 'there is no other server',
  'BOSH sessions': 'mod_bosh is not loaded',
  'DNS query time (95th percentile)': 'lua-unbound is not installed',
  'Connections rejected per second': 'max_connections_per_ip is not set',
  'Logins with a token per second': JITSI,
  'Room entries with a token per second': JITSI,
  'Rooms and people on a visitor server': JITSI,
  'Stanzas sent per second': JITSI,
  'IP addresses with a rate limit': JITSI,
  'Delayed room joins per second': JITSI,
  'Outgoing calls rejected per second': JITSI,
  'Rooms without occupants': JITSI,
  'Endpoints down': OUTSIDE,
  'Domains with a problem': OUTSIDE,
  'Endpoints and problems': OUTSIDE,
  'Certificates of endpoints expire in': OUTSIDE,
  'SRV records': OUTSIDE,
  'Age of the oldest check': OUTSIDE,
  'Slowest connection by phase': OUTSIDE,
  'Endpoints by SASL mechanism': OUTSIDE,
  'Endpoints by TLS version and cipher': OUTSIDE,
  'Endpoints with a certificate that Prosody has not loaded': OUTSIDE,
  'Ping round-trip time of other servers': OUTSIDE,
  'Omitted series': 'all is well',
  'Mismatched and invalid samples': 'all is well',
}

/** The documented command that hashes a password, and its variant that reads standard input. */
const HASH: Readonly<Record<PackageName, readonly [documented: string, typed: string]>> = {
  'npm package': [
    'mkpasswd --method=bcrypt --rounds=10',
    'mkpasswd --method=bcrypt --rounds=10 --stdin | sed "s/^/prometheus: /"',
  ],
  'Debian package': [
    "htpasswd -nBC 10 prometheus | sed 's/:/: /'",
    "htpasswd -niBC 10 prometheus | sed 's/:/: /'",
  ],
}

describe('a new user with the documentation', { concurrency: false }, () => {
  for (const name of PACKAGE_NAMES) {
    const each = EXPORTER_PACKAGES[name]
    test(`a new user with the ${name} can set up TLS, Prometheus, alerts and a dashboard with data`, async (t) => {
      const machine = await withInstalledExporter(t, HOST, each, prepareServers)
      const pages = await machine.shell(`cat ${each.pages}/README.md ${each.pages}/docs/*.md`)
      const text = withoutIndentation(pages)
      const documented = (words: string | RegExp): string => {
        const found =
          typeof words === 'string' ? text.includes(words) && words : words.exec(text)?.[0]
        assert.ok(found, `the documentation does not contain: ${String(words)}`)
        return found
      }
      const block = (language: string, of: RegExp): string => {
        const found = blocksOf(text, language).find((block) => of.test(block))
        assert.ok(found, `the documentation has no ${language} block with ${String(of)}`)
        return found
      }
      documented(each.install)

      // The test sets up Prosody, the exporter and the service with one command.
      const report = await machine.shell(
        documented(/^prosody-exporter setup$/m) + ' --yes --restart',
      )
      assert.match(report, /All good/)
      await untilUp(machine, 'http://127.0.0.1:9347/metrics')

      // The test turns on alerts as XMPP messages. Setup fails if Prosody does not accept the test message.
      await machine.shell(`prosodyctl register admin example.com '${PASSWORD}'`)
      const alerts = documented(/^prosody-exporter setup --alerts=admin@example\.com$/m)
      assert.ok(
        (await machine.shell(`${alerts} --yes`)).includes(
          `Alert rules for rule_files in prometheus.yml: ${each.rules}\n`,
        ),
      )

      // The test turns on TLS and a password for the exporter.
      await machine.shell(`apt-get install apache2-utils whois`)
      await machine.shell(`cd ${CONFIG}\n${documented(/^openssl req [^`]*?exporter\.crt$/m)}`)
      const [documentedHash, typedHash] = HASH[name]
      documented(documentedHash)
      const user = await machine.shell(typedHash, `${PASSWORD}\n`)
      const tls = ['cert_file: exporter.crt', 'key_file: exporter.key'].map(documented)
      await machine.write(
        join(CONFIG, 'web.yml'),
        `tls_server_config:\n  ${tls.join('\n  ')}\nbasic_auth_users:\n  ${user.trim()}\n`,
      )
      await machine.shell(`chmod 600 ${CONFIG}/web.yml ${CONFIG}/exporter.key`)
      const unit = '/etc/systemd/system/prosody-exporter.service.d/override.conf'
      await machine.write(unit, block('ini', /web\.yml/))
      await machine.shell('systemctl daemon-reload; systemctl restart prosody-exporter')
      const curl = ['--cacert', `${CONFIG}/exporter.crt`]
      const target = `https://${HOST}:9347/metrics`
      await untilUp(machine, ...curl, '--user', `prometheus:${PASSWORD}`, target)
      const refused = await machine.shell(`curl -si ${curl.join(' ')} ${target} | head -1`)
      assert.match(refused, / 401/)

      // The test adds the job that doctor prints to Prometheus.
      const job = await machine.shell(
        documented(/^prosody-exporter doctor --config[^`]*--show\.prometheus$/m),
      )
      documented('tls_config: { ca_file: prosody-exporter.crt }')
      await machine.shell(`cp ${CONFIG}/exporter.crt /etc/prometheus/prosody-exporter.crt
printf %s '${PASSWORD}' > /etc/prometheus/prosody-exporter.password
chmod 640 /etc/prometheus/prosody-exporter.password
chgrp prometheus /etc/prometheus/prosody-exporter.password`)
      await machine.write(
        '/etc/prometheus/prometheus.yml',
        `global: { scrape_interval: 1s, evaluation_interval: 1s }\nrule_files: ['${each.rules}']\n${job}`,
      )
      await machine.shell('promtool check config /etc/prometheus/prometheus.yml')
      await machine.shell('systemctl restart prometheus')
      await until(async () => (await ask(machine, 'up{job="prosody"} == 1')).length > 0, {
        what: 'Prometheus has scraped the exporter',
      })

      // The queries of the dashboard must have data while users log in and out.
      const dashboard = JSON.parse(await machine.shell(`cat ${each.dashboard}`)) as Dashboard
      const users = await startUsers(machine)
      t.after(() => users.stop())
      const empty = new Set<string>()
      for (const { title, expr } of queriesOf(dashboard)) {
        const query = withVariables(expr, '.*')
        const has = async () => (await ask(machine, query)).length > 0
        if (!(title in EMPTY))
          await until(has, { what: `the query of the panel "${title}" has data: ${query}` })
        else if (!(await has())) empty.add(title)
      }
      assert.deepEqual([...empty].sort(), Object.keys(EMPTY).sort())

      assert.ok(users.running(), users.output())

      // Prometheus must accept the alert rules, and no alert may fire.
      const rules = await until(
        async () => {
          const all = await rulesOf(machine)
          return all.length > 0 && all.every(({ health }) => health !== 'unknown') && all
        },
        { what: 'Prometheus has evaluated every alert rule' },
      )
      const isHealthy = (rule: Rule) => rule.health === 'ok' && rule.state !== 'firing'
      assert.deepEqual(
        rules.filter((rule) => !isHealthy(rule)),
        [],
      )
    })
  }
})

/** Installs Prosody (one host, rooms, a user) and Prometheus. */
async function prepareServers(machine: Machine) {
  await machine.shell('apt-get install prosody prometheus curl')
  const certificate = ['-subj', '/CN=example.com', '-addext', 'subjectAltName=DNS:example.com']
  await machine.shell(`apt-get install openssl
cd /etc/prosody/certs
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc -days 90 ${certificate.join(' ')} \
  -keyout example.com.key -out example.com.crt
chgrp prosody example.com.key && chmod 640 example.com.key`)
  await machine.write(
    '/etc/prosody/conf.d/example.com.cfg.lua',
    `VirtualHost "example.com"
  c2s_require_encryption = false
  allow_unencrypted_plain_auth = true
Component "rooms.example.com" "muc"
Component "files.example.com" "http_file_share"
`,
  )
  await machine.shell('systemctl restart prosody')
  await machine.shell(`prosodyctl register user example.com '${PASSWORD}'`)
}

async function untilUp(machine: Machine, ...curl: string[]) {
  const words = curl.map((word) => `'${word}'`).join(' ')
  await until(async () => /^xmpp_up 1$/m.test(await machine.shell(`curl -s ${words} || true`)), {
    what: `the exporter is up at ${words}`,
  }).catch(async (error: unknown) => {
    const log = await machine.shell('journalctl --no-pager --unit=prosody-exporter')
    throw new Error(log, { cause: error })
  })
}

const ask = async (machine: Machine, query: string) =>
  ((await askPrometheus(machine, 'query', query)) as { result: unknown[] } | undefined)?.result ??
  []

type Rule = { readonly name: string; readonly health: string; readonly state?: string }

async function rulesOf(machine: Machine): Promise<Rule[]> {
  const answer = (await askPrometheus(machine, 'rules')) as { groups: { rules: Rule[] }[] }
  return answer.groups.flatMap(({ rules }) => rules)
}

/** Sends a request to Prometheus. Returns `undefined` if Prometheus does not answer yet. */
async function askPrometheus(machine: Machine, what: 'query' | 'rules', query?: string) {
  const url = `http://127.0.0.1:9090/api/v1/${what}`
  const data = query === undefined ? [] : ['--data-urlencode', `query=${query}`]
  const [program = '', ...args] = await machine.outside([
    'curl',
    '-qs',
    '--noproxy',
    '*',
    ...data,
    url,
  ])
  const { stdout } = await run(program, args)
  if (!stdout.startsWith('{')) return undefined
  const answer = JSON.parse(stdout) as { data?: unknown; error?: string }
  if (answer.error !== undefined) throw new Error(`${query}: ${answer.error}`)
  return answer.data
}

async function startUsers(machine: Machine) {
  const script = join(root, 'test/packaging/matrix/walk-users.ts')
  const node = [process.execPath, '--import', 'tsx', script, 'example.com', PASSWORD]
  const [program = '', ...args] = await machine.outside(node)
  return launch(program, args, { cwd: root })
}
