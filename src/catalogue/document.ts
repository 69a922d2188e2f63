import { AREAS, headingOf, type Documented } from './index.js'

const INTRODUCTION = `# Metrics

<!-- Written by \`npm run metrics-doc\` from src/catalogue. -->

Every metric family that Prosody 0.11 to 13.0, the well-known community modules, other servers and prosody-exporter
itself export: what it means, its type, labels and unit, since when it is there, what to watch, and what is wrong with
it. Names are those of the text format: a counter ends in \`_total\`; a histogram has \`_bucket\`, \`_sum\` and \`_count\`.
A unit is the end of the name. What is not here, of a module that nobody told us of, is served just the same.

**HELP.** Prosody's own is often empty or only repeats the name (\`mod_muc/room_hit counter\`). There, and for the
families of this page only, the sentence below is served as HELP; any other HELP is left as it is.

**Older names.** \`exposition.names: single_underscore\` writes one underscore where a name here has two:
\`prosody_mod_c2s__connections\` is \`prosody_mod_c2s_connections\`. \`mod_prometheus\` serves the names of Prosody 0.10 and
0.11: the module is the name, without \`measure_\`, and the rest a label, so \`prosody_mod_muc__room_hit_total\` is
\`prosody_mod_muc{type="room_hit"}\`, a gauge of events a second. What has labels of its own besides \`host\` keeps its
name, but for the connections, summed up as \`prosody_mod_c2s{type="connections"}\` and \`prosody_mod_s2s{…}\`, and
\`prosody_stanza_counts{type="incoming_c2s_message"}\`. The [README](README.md#names-for-older-dashboards) has more.

**Labels.** \`host\` is the VirtualHost or component. A series that is once there stays until Prosody restarts.
`

/** METRICS.md, whole. */
export function metricsDocument(): string {
  const areas = AREAS.map(({ title, from, since, families }) =>
    [`## ${title}`, from, ...families.map((family) => section(family, since))].join('\n\n'),
  )
  const contents = AREAS.map(({ title }) => `- [${title}](#${anchorOf(title)})`).join('\n')
  return [INTRODUCTION, contents, '', areas.join('\n\n'), ''].join('\n')
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
    `### ${code(headingOf(family))}`,
    prose(meaning),
    `${facts.join(' · ')}${legacy === '' ? '' : `; on 0.11 ${legacy}`}`,
    ...(notes === '' ? [] : [notes]),
  ].join('\n\n')
}

const code = (text: string) => `\`${text}\``

function labelsText(labels: readonly string[]): string {
  return labels.length === 0 ? 'no labels' : `labels ${labels.map(code).join(', ')}`
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

/** A sentence that is HELP too, and so has no Markdown: names in it are code. */
function prose(text: string): string {
  return text.replace(/\w*_\w+/g, code)
}

// As GitHub makes it of a heading.
function anchorOf(title: string): string {
  return title
    .toLowerCase()
    .replace(/[^\w\s-]/g, '')
    .replace(/\s/g, '-')
}
