/**
 * Generates pages and tables of docs/ from the metrics catalogue, the settings, the JSON Schema of the configuration
 * file, and the alerting rules. Also writes the address of docs/ into the rules and the dashboard.
 */

import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import * as prettier from 'prettier'
import { parse } from 'yaml'
import { metricsDocument } from '../src/catalogue/metrics-document.js'
import { COMMANDS, HELP_FLAG } from '../src/cli/commands.js'
import { AREAS } from '../src/collectors/documentation.js'
import { COLLECTORS } from '../src/collectors/index.js'
import { formatJsonSchema } from '../src/config/config-file-schema.js'
import { describeAllowed } from '../src/config/describe-setting.js'
import {
  hasVariable,
  isCollectorSwitch,
  isFlag,
  SETTINGS,
  toVariableName,
} from '../src/config/settings.js'
import { isError, PROBLEMS } from '../src/outside/problem-severity.js'
import { describeProblem } from '../src/outside/problem-texts.js'
import { manualPage } from './manual.js'
import { readJson } from './package-texts.js'
import { root } from '../test/support/setup/process.js'

/**
 * @typedef {import('../src/config/settings.js').Setting} Setting
 * @typedef {{ description?: string, properties?: Record<string, Schema>, items?: Schema,
 *   anyOf?: Schema[] }} Schema
 * @typedef {{ alert?: string, for?: string, labels?: Record<string, string>,
 *   annotations?: Record<string, string> }} Rule
 */

/**
 * The functions that generate tables. The keys are the names of the tables in the markers of a page, for example
 * `<!-- flags -->` and `<!-- /flags -->`.
 */
const TABLES = {
  commands: commandsTable,
  commandFlags: commandFlagsTable,
  flags: flagsTable,
  keys: keysTable,
  collectors: collectorsTable,
  sources: sourcesTable,
  alerts: alertsTable,
  problems: problemsTable,
}

/** Files with links to pages of docs/ in the public repository. */
const LINKING = [
  'deploy/prometheus/rules.yml',
  'deploy/prometheus/rules.test.yml',
  'deploy/prometheus/rules.long.test.yml',
  'deploy/prometheus/rules.outside.test.yml',
  'deploy/grafana/prosody.json',
]

/**
 * Generates the text of the manual page, of every page in docs/ that has generated content, and of files with links to
 * docs/.
 *
 * @returns {Promise<Map<string, string>>} The texts of the pages. The keys are paths relative to the root.
 */
export async function generatedPages() {
  const { version, homepage } = await readJson(join(root, 'package.json'))
  const pages = new Map([
    ['docs/metrics.md', await formatted(metricsDocument(AREAS))],
    ['deploy/man/prosody-exporter.1', manualPage(String(version))],
  ])
  for (const file of await readdir(join(root, 'docs'))) {
    const path = `docs/${file}`
    if (!file.endsWith('.md') || pages.has(path)) continue
    const text = await readFile(join(root, path), 'utf8')
    const filled = await withTables(text)
    if (filled !== undefined) pages.set(path, filled)
  }
  for (const path of LINKING) {
    pages.set(path, withLinks(await readFile(join(root, path), 'utf8'), String(homepage)))
  }
  return pages
}

/**
 * Replaces the address of the repository in links to docs/.
 *
 * @param {string} text
 * @param {string} homepage
 */
function withLinks(text, homepage) {
  const docs = `${homepage.replace(/#.*/, '')}/blob/main/docs/`
  return text.replace(/https:\/\/[^\s"]+\/blob\/main\/docs\//g, docs)
}

/**
 * @param {string} page
 * @returns {Promise<string | undefined>} The page with new tables; undefined if the page has no generated table.
 */
async function withTables(page) {
  let text = page
  for (const [name, table] of Object.entries(TABLES)) {
    const between = new RegExp(`(<!-- ${name} -->\n)[^]*(<!-- /${name} -->)`)
    if (!between.test(text)) continue
    const rows = await table()
    text = text.replace(between, (_, before, after) => `${before}\n${rows}\n\n${after}`)
  }
  if (text === page && !/^<!-- \/\w+ -->$/m.test(page)) return undefined
  return await formatted(text)
}

/** @param {string} page */
async function formatted(page) {
  const options = await prettier.resolveConfig(join(root, 'README.md'))
  return await prettier.format(page, { ...options, parser: 'markdown' })
}

function commandsTable() {
  return table(
    ['Command', 'Description'],
    COMMANDS.map(({ name, summary }) => [code(`prosody-exporter ${name}`), summary]),
  )
}

function commandFlagsTable() {
  return table(
    ['Command', 'Flag', 'Description'],
    COMMANDS.flatMap(({ name, flags }) =>
      flags
        .filter((flag) => flag !== HELP_FLAG)
        // Markdown would hide `<first VirtualHost>` as an HTML tag.
        .map(({ term, text }) => [code(name), code(term), text.replaceAll('<', '\\<')]),
    ),
  )
}

function flagsTable() {
  const flags = SETTINGS.filter((setting) => isFlag(setting) && !isCollectorSwitch(setting))
  return table(
    ['Flag', 'Environment variable', 'Default', 'Description'],
    flags.map((setting) => [
      code(`--${setting.name}`),
      hasVariable(setting) ? code(toVariableName(setting.name)) : '',
      defaultText(setting),
      `${descriptionText(setting)}${setting.isRepeatable ? ' Repeatable.' : ''}`,
    ]),
  )
}

function keysTable() {
  /** @type {unknown} */
  const parsed = JSON.parse(formatJsonSchema())
  const schema = /** @type {Schema} */ (parsed)
  return table(
    ['Key', 'Environment variable', 'Default', 'Description'],
    keysOf(schema).map(({ key, description }) => {
      const setting = SETTINGS.find((each) => each.key === key)
      if (setting === undefined) return [code(key), '', '', description]
      const variable = code(toVariableName(setting.name))
      return [code(key), variable, defaultText(setting), descriptionText(setting)]
    }),
  )
}

/** @param {Setting} setting */
function defaultText({ defaults, defaultInWords }) {
  return defaultInWords ?? defaults.map(code).join(' and ')
}

/** @param {Setting} setting */
function descriptionText({ help, kind }) {
  return [help, describeAllowed(kind)].filter(Boolean).join(' ')
}

/**
 * Lists every key that has a value, with its path.
 *
 * @param {Schema} schema
 * @param {string} [prefix]
 * @returns {{ key: string, description: string }[]}
 */
export function keysOf({ properties = {} }, prefix = '') {
  return Object.entries(properties).flatMap(([name, either]) => {
    const schema = filled(either)
    const key = `${prefix}${name}`
    // The keys of the collectors are not listed one by one, because docs/ has a separate table of collectors.
    if (name === 'collectors') return [{ key, description: schema.description ?? '' }]
    if (schema.properties) return keysOf(schema, `${key}.`)
    const own = { key, description: schema.description ?? '' }
    return schema.items?.properties ? [own, ...keysOf(schema.items, `${key}[].`)] : [own]
  })
}

/**
 * In the configuration file, a section can be empty (null). Returns that alternative of the section's schema that
 * describes its keys.
 *
 * @param {Schema} schema
 * @returns {Schema}
 */
function filled(schema) {
  const some = schema.anyOf?.find(({ properties, items }) => properties ?? items?.properties)
  return { ...schema, ...some }
}

function collectorsTable() {
  return table(
    ['Collector', 'Default', 'Description'],
    COLLECTORS.map(({ name, isOn, help }) => [code(name), isOn ? 'on' : 'off', help]),
  )
}

function sourcesTable() {
  return table(
    ['Collector', 'Series', 'Source', 'Rights'],
    COLLECTORS.map(({ name, families, source, rights }) => [
      code(name),
      families.map(seriesOf).join(', ') || 'The registry of Prosody',
      source,
      rights,
    ]),
  )
}

/** @param {{ name: string, labels: readonly string[] }} family */
function seriesOf({ name, labels }) {
  return code(`${name}{${labels.join(',')}}`)
}

async function alertsTable() {
  const text = await readFile(join(root, 'deploy/prometheus/rules.yml'), 'utf8')
  /** @type {unknown} */
  const parsed = parse(text)
  const { groups } = /** @type {{ groups: { rules: Rule[] }[] }} */ (parsed)
  const alerts = groups.flatMap(({ rules }) => rules).filter(({ alert }) => alert !== undefined)
  return table(
    ['Alert', 'Severity', 'After', 'Summary'],
    alerts.map(({ alert = '', labels = {}, for: after = '', annotations = {} }) => [
      `[${code(alert)}](#${alert.toLowerCase()})`,
      // The severity of some alerts is a template, because it depends on the problem.
      labels['severity']?.replace(/^\{\{.*\}\}$/, 'critical or warning') ?? '',
      after,
      withoutTemplates(annotations['summary'] ?? ''),
    ]),
  )
}

/** Lists the problems, with their texts for a typical endpoint of example.org. */
function problemsTable() {
  const codes = /** @type {import('../src/outside/problem-severity.js').ProblemCode[]} */ (
    Object.keys(PROBLEMS)
  )
  return table(
    ['Problem', 'Severity', 'Meaning', 'Remedy'],
    codes.map((name) => {
      const { cause, remedy } = describeProblem(
        { code: name, ...findTypicalEndpoint(name) },
        'example.org',
      )
      return [code(name), isError(name) ? 'error' : 'warning', cause, remedy]
    }),
  )
}

/**
 * @param {string} problem
 * @returns {Pick<import('../src/outside/outside-check.js').Problem, 'service' | 'target'>}
 */
function findTypicalEndpoint(problem) {
  if (/^(web|host_meta)_/.test(problem)) return { service: 'bosh', target: 'xmpp.example.org:443' }
  if (/^(s2s|peer)_/.test(problem))
    return { service: 'xmpp-server', target: 'xmpp.example.org:5269' }
  if (problem === 'tls_missing') return { service: 'xmpps-client', target: 'xmpp.example.org:5223' }
  const service = 'xmpp-client'
  if (/^srv_target_|^private_/.test(problem)) return { service, target: 'xmpp.example.org' }
  if (/^(dns|domain|srv|service)_/.test(problem)) return { service }
  return { service, target: 'xmpp.example.org:5222' }
}

/** @param {string} text Text with templates of Prometheus, for example `{{ $labels.host }}`. */
function withoutTemplates(text) {
  return (
    text
      // The last of several texts is the usual one. A text after `with` is only for some labels.
      .replace(/\{\{ *if .*?\{\{ *else *\}\}(.*?)\{\{ *end *\}\}/gs, '$1')
      .replace(/\{\{ *with .*?\{\{ *end *\}\}/gs, '')
      .replace(/\{\{ *\$labels\.(\w+)[^}]*\}\}/g, (_, /** @type {string} */ label) => code(label))
      .replace(/\{\{ *\$value[^}]*\}\}B?/g, '_N_')
      .replace(/\{\{[^}]*\}\}/g, '…')
  )
}

/**
 * @param {string[]} head
 * @param {string[][]} rows
 */
function table(head, rows) {
  const line = (/** @type {string[]} */ cells) =>
    `| ${cells.map((cell) => cell.replaceAll('|', '\\|').replaceAll('\n', ' ')).join(' | ')} |`
  return [line(head), line(head.map(() => '---')), ...rows.map(line)].join('\n')
}

/** @param {string} text */
function code(text) {
  return `\`${text}\``
}
