import { headingOf, type Area, type Documented } from './index.js'

const INTRODUCTION = `# Metrics

<!-- Written by \`npm run docs\` from src/catalogue and src/collectors. -->

This page describes the metric families of Prosody 0.11 to 13.0, of well-known community modules, of other XMPP servers and of
prosody-exporter itself. For each family it has the meaning, the type, the labels, the unit, and the first version of Prosody that
has the family. **Watch** says what an operator should look for. **Known defect** says which values of the family are wrong or
surprising, because Prosody or its module counts them so.

The names are those in the text format. The name of a counter ends in \`_total\`. A histogram consists of series whose names end in
\`_bucket\`, \`_sum\` and \`_count\`. If a family has a unit, its name ends in the unit. The exporter also exports the families of
modules that this page does not list.

**HELP texts.** The HELP text that Prosody has for a family is often empty, or only repeats the name (\`mod_muc/room_hit counter\`). In
that case, the exporter serves the meaning on this page as the HELP text. The exporter serves any other HELP text unchanged.

**Older names.** With the setting \`exposition.names\`, the exporter can also serve these naming schemes:

- \`single_underscore\`: each name on this page, with one underscore instead of two. For example, \`prosody_mod_c2s__connections\`
  becomes \`prosody_mod_c2s_connections\`.
- \`mod_prometheus\`: the names of the module mod_prometheus for Prosody 0.10 and 0.11. For example,
  \`prosody_mod_muc__room_hit_total\` becomes \`prosody_mod_muc{type="room_hit"}\`, a gauge of events per second.

See [Names for older dashboards](migrating.md#names-for-older-dashboards) for the rules.

**Labels.** The label \`host\` is the name of a VirtualHost or component. A series of Prosody, once created, exists until Prosody
restarts.
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

// The units are those of OpenMetrics 1.0.0, section "Units and Base Units".
function unitOf({ name }: Documented): string {
  const unit = /_(seconds|bytes|percent)(?:_(?:average|min|max))?$/.exec(name)?.[1]
  return unit === undefined ? '' : `in ${unit}`
}

/** Formats the names in a meaning as code. Meanings have no Markdown, because they are HELP texts too. */
function formatMeaning(text: string): string {
  return text.replace(/\w*_\w+/g, formatCode)
}

// Returns the anchor that GitHub generates for a heading.
function anchorOf(title: string): string {
  return title
    .toLowerCase()
    .replace(/[^\w\s-]/g, '')
    .replace(/\s/g, '-')
}
