/** Creates the table in docs/collectors.md from the results of the servers. */

import type { Rights } from './servers.js'
import type { StockResult } from './stock.js'

export type Row = {
  readonly name: string
  /** Whether the row is about the newest version in Debian, whose version number changes often. */
  readonly isNewest: boolean
  readonly results: Partial<Record<Rights, StockResult>>
}

const REGISTRY: Readonly<Record<string, string>> = {
  '0.11': 'what it has, [mapped](../prosody-modules/mod_adhoc_statistics/README.md)',
  '0.12': 'as mod_http_openmetrics',
  '13.0': 'as mod_http_openmetrics',
}

/** Rows of the table for servers that Debian does not have, so no test runs them. */
const NOT_RUN: readonly (readonly string[])[] = [
  [
    // Prosody 0.10.3 was built from source and tested by hand.
    'Prosody 0.10.3, by hand, Nov 2026',
    ...['what it has, [mapped](../prosody-modules/mod_adhoc_statistics/README.md)', '–', '', ''],
  ],
]

/** Returns the table in Markdown. Below it is one list of the families that every server provides without rights. */
export function tableOf(rows: readonly Row[]): string {
  const all = rows.flatMap(({ results }) => Object.values(results))
  const common = (all[0]?.families ?? []).filter((name) =>
    all.every(({ families }) => families.includes(name)),
  )
  const head = [
    'Server',
    'Registry, by the module',
    'Without a right',
    'With three API commands',
    'As admin',
  ]
  const lines = rows.map(({ name, isNewest, results }) => {
    const { none, some, admin } = results
    // The table has version numbers without the revision of the Debian package.
    const version = none?.version.replace(/-\S+$/, '') ?? ''
    const more = (one: StockResult | undefined, other: StockResult | undefined) =>
      !one
        ? ''
        : one.families
            .filter((family) => !(other?.families ?? common).includes(family))
            .map(code)
            .join(', ') || '–'
    return [
      `${name} ${version}${isNewest ? ', the newest' : ''}`,
      name === 'Prosody' ? (REGISTRY[/^\d+\.\d+/.exec(version)?.[0] ?? ''] ?? '') : '',
      more(none, undefined),
      more(some, none),
      more(admin, none),
    ]
  })
  const row = (cells: readonly string[]) => `| ${cells.join(' | ')} |`
  return [
    row(head),
    row(head.map(() => '---')),
    ...NOT_RUN.map(row),
    ...lines.map(row),
    '',
    `Each exports ${common.map(code).join(', ')}.`,
    '',
  ].join('\n')
}

const code = (name: string) => `\`${name}\``

/** Removes the version numbers of the newest versions and the widths of the columns, to compare two tables. */
export function withoutNewest(table: string): string {
  return table.replace(/ [\d.]+(?=, the newest)/g, '').replace(/ +|-{2,}/g, ' ')
}
