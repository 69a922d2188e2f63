import { headingOf, type Area, type Documented } from './index.js'

const INTRODUCTION = `# Metrics

<!-- Written by \`npm run docs\` from src/catalogue and src/collectors. -->

This page describes every metric family of Prosody 0.11 to 13.0, the well-known community modules, other servers and
prosody-exporter itself. For each one it has the meaning, the type, the labels, the unit, and the first version. **Watch** says
what an operator should look at. **Known defect** says what is wrong with it at its source.

Names are those of the text format. A counter ends in \`_total\`. A histogram has \`_bucket\`, \`_sum\` and \`_count\`. The
unit is the end of the name. Families of other modules are exported too, although this page does not list them.

**HELP.** The HELP text of Prosody is often empty, or only repeats the name (\`mod_muc/room_hit counter\`). In that case
the exporter serves the sentence of this page as HELP. Any other HELP text stays as it is.

**Older names.** \`exposition.names\` can serve the names that other modules used:

- \`single_underscore\` writes one underscore where a name here has two: \`prosody_mod_c2s__connections\` is
  \`prosody_mod_c2s_connections\`.
- \`mod_prometheus\` serves the names of Prosody 0.10 and 0.11. For example, \`prosody_mod_muc__room_hit_total\` is
  \`prosody_mod_muc{type="room_hit"}\`, a gauge of events per second.

See [Names for older dashboards](migrating.md#names-for-older-dashboards) for the rules.

**Labels.** \`host\` is the VirtualHost or component. A series that exists stays until Prosody restarts.
`

/** Returns the text of docs/metrics.md. */
export function metricsDocument(areas: readonly Area[]): string {
  const sections = areas.map(({ title, from, since, families }) =>
    [`## ${title}`, from, ...families.map((family) => section(family, since))].join('\n\n'),
  )
  const contents = [
    '| Area | Families |',
    '| --- | --- |',
    ...areas.map(
      ({ title, families }) => `| [${title}](#${anchorOf(title)}) | ${families.length} |`,
    ),
  ].join('\n')
  return [INTRODUCTION, contents, '', sections.join('\n\n'), ''].join('\n')
}

function section(family: Documented, areaSince: string): string {
  const { type, labels, meaning, since = areaSince, until, watch, defect, on011 } = family
  const facts = [type, labelsText(labels), unitOf(family), presence(since, until)].filter(
    (fact) => fact !== '',
  )
  const legacy = [on011?.type && `a ${on011.type}`, on011?.labels && labelsText(on011.labels)]
    .filter(Boolean)
    .join(' with ')
  const notes = [
    ...(watch === undefined ? [] : [`- **Watch:** ${watch}`]),
    ...(defect === undefined ? [] : [`- **Known defect:** ${defect}`]),
  ].join('\n')
  return [
    `### ${formatCode(headingOf(family))}`,
    formatMeaning(meaning),
    `${facts.join(' · ')}${legacy === '' ? '' : `; on 0.11 ${legacy}`}.`,
    ...(notes === '' ? [] : [notes]),
  ].join('\n\n')
}

const formatCode = (text: string) => `\`${text}\``

function labelsText(labels: readonly string[]): string {
  return labels.length === 0 ? 'no labels' : `labels ${labels.map(formatCode).join(', ')}`
}

function presence(since: string, until: string | undefined): string {
  if (!/^\d/.test(since)) return since
  return `Prosody ${since} ${until === since ? 'only' : 'and later'}`
}

// OpenMetrics 1.0.0, Units and Base Units.
function unitOf({ name }: Documented): string {
  const unit = /_(seconds|bytes|percent)(?:_(?:average|min|max))?$/.exec(name)?.[1]
  return unit === undefined ? '' : `in ${unit}`
}

/** Formats the names in a meaning as code. Meanings have no Markdown, because they are HELP texts too. */
function formatMeaning(text: string): string {
  return text.replace(/\w*_\w+/g, formatCode)
}

// The anchor that GitHub generates for a heading.
function anchorOf(title: string): string {
  return title
    .toLowerCase()
    .replace(/[^\w\s-]/g, '')
    .replace(/\s/g, '-')
}
