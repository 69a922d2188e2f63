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
  readonly options?: { readonly alertInstanceLabelFilter?: string }
  readonly collapsed?: boolean
  /** The panels of a collapsed row. The panels of an open row follow it in the list of panels. */
  readonly panels?: readonly Panel[]
}
export type Variable = {
  readonly name: string
  readonly type: string
  readonly query: string | { readonly query: string }
}
export type Dashboard = {
  readonly links: readonly { readonly title: string; readonly url: string }[]
  readonly schemaVersion: number
  readonly uid: string
  readonly panels: readonly Panel[]
  readonly templating: { readonly list: readonly Variable[] }
  readonly annotations: { readonly list: readonly { readonly expr?: string }[] }
}

/** Returns the panels of a dashboard, without the rows that only group panels. */
export const panelsOf = ({ panels }: Dashboard): Panel[] =>
  panels.flatMap((panel) => (panel.type === 'row' ? (panel.panels ?? []) : [panel]))

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
