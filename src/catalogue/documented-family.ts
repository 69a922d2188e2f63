/** The description of a metric family, from which docs/metrics.md and HELP texts are made. */
export type Documented = Shape & {
  /**
   * The name in OpenMetrics, with its unit. The name of a counter has no `_total`. A part `<x>` stands for a part
   * of the name that comes from the server or its users.
   */
  readonly name: string
  /** The meaning of the value, as one sentence on one line, because it can become the HELP text of the family. */
  readonly meaning: string
  /** The first version of Prosody that has the family. If it does not start with a digit, any text about servers. */
  readonly since?: string
  /** The last version of Prosody that has the family. Missing if the latest version has it. */
  readonly until?: string
  /** What an operator should look for in the values of the family. */
  readonly watch?: string
  /** In which way Prosody or its module returns wrong or surprising values. */
  readonly defect?: string
  /** The type and labels on Prosody 0.11, where they differ, because mod_adhoc_statistics computes the family there. */
  readonly on011?: Partial<Shape>
}

type Shape = {
  readonly type: 'counter' | 'gauge' | 'histogram' | 'summary'
  /** The label names, without `le` and `quantile`. */
  readonly labels: readonly string[]
}

export type Area = {
  readonly title: string
  /** Which modules the families come from, in Markdown. */
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

/** Describes a counter. `labels` has the label names, separated by spaces. */
export const counter = make('counter')
export const gauge = make('gauge')
export const histogram = make('histogram')
export const summary = make('summary')

/** Returns the name of a family on the TYPE line of the text format. It is also the heading in docs/metrics.md. */
export function headingOf({ name, type }: Pick<Documented, 'name' | 'type'>): string {
  return type === 'counter' ? `${name}_total` : name
}
