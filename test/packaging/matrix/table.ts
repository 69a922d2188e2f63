/** Creates the table in docs/collectors.md from the results of the servers. */

import type { Rights } from './servers.js'
import type { StockResult } from './stock.js'

export type Row = {
  readonly name: string
  /** Whether this is Debian's newest version, whose number changes often. */
  readonly isNewest: boolean
  readonly results: Partial<Record<Rights, StockResult>>
}

const REGISTRY: Readonly<Record<string, string>> = {
  '0.11': 'what it has, [mapped](../prosody-modules/mod_adhoc_statistics/README.md)',
  '0.12': 'as mod_http_openmetrics',
  '13.0': 'as mod_http_openmetrics',
}

/** Rows for servers that Debian does not have, so no test runs them. */
const NOT_RUN: readonly (readonly string[])[] = [
  [
    // Tested by hand with a build from source.
    'Prosody 0.10.3, by hand, Nov 2026',
    ...['what it has, [mapped](../prosody-modules/mod_adhoc_statistics/README.md)', '–', '', ''],
  ],
]

/** Families that every server exports without rights are listed once, below the table. */
export function tableOf(rows: readonly Row[]): string {
  const all = rows.flatMap(({ results }) => Object.values(results))
  const common = (all[0]?.families ?? []).filter((name) =>
    all.every(({ families }) => families.includes(name)),
  )
  const head = [
    'Server',
    'Registry, by the module',
    'Without a right',
    'With two API commands',
    'As admin',
  ]
  const lines = rows.map(({ name, isNewest, results }) => {
    const { none, some, admin } = results
    // Debian's revision does not matter here.
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

/** Removes the numbers of the newest versions and the widths of the columns, for comparisons. */
export function withoutNewest(table: string): string {
  return table.replace(/ [\d.]+(?=, the newest)/g, '').replace(/ +|-{2,}/g, ' ')
}
