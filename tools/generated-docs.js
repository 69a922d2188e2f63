/** The pages of docs/ that are generated, whole or in part, from what the program itself says. */

import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import * as prettier from 'prettier'
import { parse } from 'yaml'
import { metricsDocument } from '../src/catalogue/metrics-document.js'
import { AREAS } from '../src/collectors/documentation.js'
import { COLLECTORS } from '../src/collectors/index.js'
import { schemaText } from '../src/config/file-schema.js'
import { SETTINGS, variableName } from '../src/config/settings.js'
import { root } from '../test/support/setup/process.js'

/** The settings of a server are keys of `servers`, and flags by another name. */
const SERVER_SETTINGS = {
  service: 'xmpp.service',
  domain: 'xmpp.domain',
  secret_file: 'xmpp.secret-file',
  hosts: 'xmpp.host',
}

/**
 * @typedef {{ description?: string, properties?: Record<string, Schema>, items?: Schema,
 *   anyOf?: Schema[] }} Schema
 * @typedef {{ alert?: string, for?: string, labels?: Record<string, string>,
 *   annotations?: Record<string, string> }} Rule
 */

/** By the name in its markers: `<!-- flags -->` and `<!-- /flags -->`. */
const TABLES = {
  flags: flagsTable,
  keys: keysTable,
  collectors: collectorsTable,
  sources: sourcesTable,
  alerts: alertsTable,
}

/**
 * Every generated page as it has to be.
 *
 * @returns {Promise<Map<string, string>>} By path relative to the root.
 */
export async function generatedPages() {
  const pages = new Map([['docs/metrics.md', await formatted(metricsDocument(AREAS))]])
  for (const file of await readdir(join(root, 'docs'))) {
    const path = `docs/${file}`
    if (!file.endsWith('.md') || pages.has(path)) continue
    const text = await readFile(join(root, path), 'utf8')
    const filled = await withTables(text)
    if (filled !== undefined) pages.set(path, filled)
  }
  return pages
}

/**
 * @param {string} page
 * @returns {Promise<string | undefined>} Undefined without a generated table.
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

function flagsTable() {
  const flags = SETTINGS.filter(
    ({ name, variableOnly }) => variableOnly !== true && !name.startsWith('collector.'),
  )
  return table(
    ['Flag', 'Environment variable', 'Default', 'Description'],
    flags.map(({ name, value, negatable, defaults = [], help }) => [
      code(`--${name}`),
      value !== undefined || negatable === true ? code(variableName(name)) : '',
      defaults.map(code).join(' and '),
      help,
    ]),
  )
}

function keysTable() {
  /** @type {unknown} */
  const parsed = JSON.parse(schemaText())
  const schema = /** @type {Schema} */ (parsed)
  return table(
    ['Key', 'Environment variable', 'Description'],
    keysOf(schema).map(({ key, description }) => [
      code(key),
      variableOf(key),
      description.replace(/(?<=Default: )(\S+)(?=\.$)/, (value) => code(value)),
    ]),
  )
}

/**
 * Every key that holds a value, with its path.
 *
 * @param {Schema} schema
 * @param {string} [prefix]
 * @returns {{ key: string, description: string }[]}
 */
export function keysOf({ properties = {} }, prefix = '') {
  return Object.entries(properties).flatMap(([name, either]) => {
    const schema = filled(either)
    const key = `${prefix}${name}`
    // The collectors have a table of their own.
    if (name === 'collectors') return [{ key, description: schema.description ?? '' }]
    if (schema.properties) return keysOf(schema, `${key}.`)
    const own = { key, description: schema.description ?? '' }
    return schema.items?.properties ? [own, ...keysOf(schema.items, `${key}[].`)] : [own]
  })
}

/**
 * A section can be empty (null): its schema with values.
 *
 * @param {Schema} schema
 * @returns {Schema}
 */
function filled(schema) {
  const some = schema.anyOf?.find(({ properties, items }) => properties ?? items?.properties)
  return { ...schema, ...some }
}

/** @param {string} key */
function variableOf(key) {
  const server = /^servers\[\]\.(.+)$/.exec(key)?.[1] ?? ''
  const name = Object.hasOwn(SERVER_SETTINGS, server)
    ? SERVER_SETTINGS[/** @type {keyof typeof SERVER_SETTINGS} */ (server)]
    : key.replaceAll('_', '-')
  return SETTINGS.some((setting) => setting.name === name) ? code(variableName(name)) : ''
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
      code(alert),
      labels['severity'] ?? '',
      after,
      withoutTemplates(annotations['summary'] ?? ''),
    ]),
  )
}

/** @param {string} text With templates of Prometheus, e.g. `{{ $labels.host }}`. */
function withoutTemplates(text) {
  return text
    .replace(/\{\{ *\$labels\.(\w+)[^}]*\}\}/g, (_, /** @type {string} */ label) => code(label))
    .replace(/\{\{ *\$value[^}]*\}\}/g, '_N_')
    .replace(/\{\{[^}]*\}\}/g, '…')
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
