/** What is known of a metric family, for people: docs/metrics.md and the HELP of what is served. */
export type Documented = Shape & {
  /**
   * As OpenMetrics has it: with its unit, a counter's without `_total`. A part `<x>` stands for
   * names that come from the server or its users.
   */
  readonly name: string
  /** A sentence, on one line: it may become the family's HELP. */
  readonly meaning: string
  /** Of Prosody, if nothing else is named. */
  readonly since?: string
  /** The last version that has it, if not the latest one. */
  readonly until?: string
  /** What an operator does with it. */
  readonly watch?: string
  /** What is wrong with it at its source. */
  readonly defect?: string
  /** How it looks on Prosody 0.11 where that is otherwise: there the companion module adds it up. */
  readonly on011?: Partial<Shape>
}

type Shape = {
  readonly type: 'counter' | 'gauge' | 'histogram' | 'summary'
  /** Besides `le`. */
  readonly labels: readonly string[]
}

export type Area = {
  readonly title: string
  /** Where the families come from, in Markdown. */
  readonly from: string
  readonly since: string
  readonly families: readonly Documented[]
}

type More = Omit<Documented, keyof Shape | 'name' | 'meaning'>

const make =
  (type: Shape['type']) =>
  (name: string, labels: string, meaning: string, more: More = {}): Documented => {
    return { name, type, labels: labels === '' ? [] : labels.split(' '), meaning, ...more }
  }

/** A family of that type; its labels are separated by spaces. */
export const counter = make('counter')
export const gauge = make('gauge')
export const histogram = make('histogram')
export const summary = make('summary')

/** The name on the text format's TYPE line, which is also the anchor in docs/metrics.md. */
export function headingOf({ name, type }: Pick<Documented, 'name' | 'type'>): string {
  return type === 'counter' ? `${name}_total` : name
}
