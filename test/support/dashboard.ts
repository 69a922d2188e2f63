/** Reads the panels and queries of a Grafana dashboard. */

import assert from 'node:assert/strict'

export type Target = {
  readonly expr: string
  readonly legendFormat: string
  readonly refId: string
}
export type Panel = {
  readonly id: number
  readonly type: string
  readonly title: string
  readonly description?: string
  readonly gridPos: Readonly<Record<'x' | 'y' | 'w' | 'h', number>>
  readonly fieldConfig?: { readonly defaults: { readonly unit?: string } }
  readonly targets?: readonly Target[]
}
export type Variable = {
  readonly name: string
  readonly type: string
  readonly query: { readonly query: string }
}
export type Dashboard = {
  readonly schemaVersion: number
  readonly uid: string
  readonly panels: readonly Panel[]
  readonly templating: { readonly list: readonly Variable[] }
  readonly annotations: { readonly list: readonly { readonly expr?: string }[] }
}

/** Returns the panels of a dashboard, without the rows that only group panels. */
export const panelsOf = ({ panels }: Dashboard): Panel[] =>
  panels.filter(({ type }) => type !== 'row')

export const queriesOf = (dashboard: Dashboard): { title: string; expr: string }[] =>
  panelsOf(dashboard).flatMap(({ title, targets = [] }) =>
    targets.map(({ expr }) => ({ title, expr })),
  )

/**
 * Replaces Grafana's variables in a query: the variable for the server with the given server, and the variable for
 * hosts with a pattern that matches every host.
 */
export function withVariables(expr: string, server: string): string {
  const all = expr
    .replaceAll('$__rate_interval', '5m')
    .replaceAll('$__interval', '5m')
    .replaceAll('$server', server)
    .replaceAll('$host', '.*')
  assert.ok(!all.includes('$'), `the test does not support a variable in: ${all}`)
  return all
}
