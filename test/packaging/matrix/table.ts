/** The table in docs/collectors.md, from what the servers returned. */

import type { Rights } from './servers.js'
import type { Told } from './stock.js'

export type Row = {
  readonly name: string
  /** Of Debian: its version is another one next month. */
  readonly isNewest: boolean
  readonly told: Partial<Record<Rights, Told>>
}

const REGISTRY: Readonly<Record<string, string>> = {
  '0.11': 'what it has, [mapped](../prosody-modules/mod_adhoc_statistics/README.md)',
  '0.12': 'as mod_http_openmetrics',
  '13.0': 'as mod_http_openmetrics',
}

/** What Debian does not have, so that no test runs it. */
const NOT_RUN: readonly (readonly string[])[] = [
  [
    // Built from its sources, outside of the project.
    'Prosody 0.10.3, by hand, Nov 2026',
    ...['what it has, [mapped](../prosody-modules/mod_adhoc_statistics/README.md)', '–', '', ''],
  ],
]

/** What every server tells anybody is said once, below the table. */
export function tableOf(rows: readonly Row[]): string {
  const all = rows.flatMap(({ told }) => Object.values(told))
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
  const lines = rows.map(({ name, isNewest, told }) => {
    const { none, some, admin } = told
    // Debian's own revision says nothing here.
    const version = none?.version.replace(/-\S+$/, '') ?? ''
    const more = (one: Told | undefined, other: Told | undefined) =>
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

/** Without the numbers of the newest versions, and however wide the columns are. */
export function withoutNewest(table: string): string {
  return table.replace(/ [\d.]+(?=, the newest)/g, '').replace(/ +|-{2,}/g, ' ')
}
