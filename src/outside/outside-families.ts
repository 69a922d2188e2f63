import { getDocumented, OUTSIDE } from '../catalogue/index.js'
import type { Family } from '../metrics/family.js'
import { formatLabels } from '../metrics/labels.js'
import {
  describeEndpoint,
  isMechanismName,
  listProblems,
  type DomainCheck,
  type EndpointCheck,
  type Problem,
} from './outside-check.js'
import { PROBLEMS } from './problem-severity.js'

/**
 * The series of one domain, by the name of the family. They are built once for each check. A scrape only joins those of
 * all domains.
 */
export type DomainSeries = ReadonlyMap<string, SeriesColumns>

type SeriesColumns = {
  /** The label texts of all series. */
  readonly bytes: Uint8Array
  /** The position in `bytes` at which each label text ends. */
  readonly ends: readonly number[]
  readonly values: readonly number[]
}

// A server chooses the names of its mechanisms, so their number is limited.
const MAX_MECHANISMS = 32
// find-endpoints.ts has lower limits.
const MAX_ENDPOINTS = 200

/** Returns the series for a result. */
export function createCheckSeries(check: DomainCheck): DomainSeries {
  const series = createSeriesBuilder()
  const host = check.domain
  for (const each of check.endpoints.slice(0, MAX_ENDPOINTS)) addEndpoint(series.add, each)
  addProblems(series.add, host, listProblems(check))
  for (const { service, state, records } of check.lookups) {
    if (state !== 'failed') series.add('xmpp_srv_records', { host, service }, records)
  }
  series.add('xmpp_domain_check_timestamp_seconds', { host }, check.endedAtSeconds)
  return series.build()
}

/** Returns the series for a result that is too old: the time of the check alone. */
export function createOutdatedSeries({ domain, endedAtSeconds }: DomainCheck): DomainSeries {
  const series = createSeriesBuilder()
  series.add('xmpp_domain_check_timestamp_seconds', { host: domain }, endedAtSeconds)
  return series.build()
}

/** Returns the series of a part of a check that has not ended. */
export function createPartialSeries(endpoints: readonly EndpointCheck[]): DomainSeries {
  const series = createSeriesBuilder()
  for (const each of endpoints.slice(0, MAX_ENDPOINTS)) {
    addEndpoint(series.add, each)
    addProblems(series.add, each.endpoint.domain, each.problems)
  }
  return series.build()
}

type AddSeries = (name: string, labels: Readonly<Record<string, string>>, value: number) => void

function addProblems(add: AddSeries, host: string, problems: readonly Problem[]): void {
  for (const { code, service = '', target = '', family = '' } of problems) {
    const labels = { host, service, target, family, problem: code, severity: PROBLEMS[code] }
    add('xmpp_endpoint_problem', labels, 1)
  }
}

function addEndpoint(add: AddSeries, check: EndpointCheck): void {
  const { endpoint, tls, certificate } = check
  const labels = { host: endpoint.domain, ...describeEndpoint(endpoint) }
  add('xmpp_endpoint_up', labels, Number(check.isUp))
  for (const [phase, seconds] of Object.entries(check.seconds)) {
    add('xmpp_endpoint_connect_seconds', { ...labels, phase }, seconds)
  }
  if (tls) add('xmpp_endpoint_tls_info', { ...labels, version: tls.version, cipher: tls.cipher }, 1)
  if (certificate) {
    const { expiresAtSeconds, isLoaded } = certificate
    add('xmpp_endpoint_certificate_expiry_timestamp_seconds', labels, expiresAtSeconds)
    if (isLoaded !== undefined) {
      add('xmpp_endpoint_certificate_matches_loaded', labels, Number(isLoaded))
    }
  }
  const mechanisms = (check.mechanisms ?? []).filter(isMechanismName)
  for (const mechanism of mechanisms.slice(0, MAX_MECHANISMS)) {
    add('xmpp_endpoint_sasl_mechanism', { ...labels, mechanism }, 1)
  }
}

/** Collects series. A series that was already added is ignored, because a format forbids the same series twice. */
function createSeriesBuilder(): { readonly add: AddSeries; readonly build: () => DomainSeries } {
  const families = new Map<string, Map<string, number>>()
  return {
    add(name: string, labels: Readonly<Record<string, string>>, value: number): void {
      const text = formatLabels(labels)
      const rows = families.get(name) ?? new Map<string, number>()
      families.set(name, rows)
      if (!rows.has(text) && Number.isFinite(value)) rows.set(text, value)
    },
    build: (): DomainSeries =>
      new Map(Array.from(families, ([name, rows]) => [name, toColumns(rows)])),
  }
}

function toColumns(rows: ReadonlyMap<string, number>): SeriesColumns {
  const texts = Array.from(rows.keys(), (text) => Buffer.from(text))
  let end = 0
  return {
    bytes: Buffer.concat(texts),
    ends: texts.map(({ length }) => (end += length)),
    values: [...rows.values()],
  }
}

/** Returns the series of a single label, for `joinSeries`. */
export function createLabelSeries(
  name: string,
  label: string,
  values: Iterable<readonly [string, number]>,
): DomainSeries {
  const series = createSeriesBuilder()
  for (const [text, value] of values) series.add(name, { [label]: text }, value)
  return series.build()
}

/** Joins the series of many domains into families. */
export function joinSeries(all: readonly DomainSeries[]): readonly Family[] {
  return OUTSIDE.families.flatMap(({ name }) => {
    const parts = all.flatMap((series) => series.get(name) ?? [])
    return parts.some(({ values }) => values.length > 0) ? [joinParts(name, parts)] : []
  })
}

function joinParts(name: string, parts: readonly SeriesColumns[]): Family {
  const length = parts.reduce((sum, { values }) => sum + values.length, 0)
  const values = new Float64Array(length)
  const ends = new Uint32Array(length)
  let [row, start] = [0, 0]
  for (const part of parts) {
    values.set(part.values, row)
    for (const end of part.ends) ends[row++] = start + end
    start += part.bytes.length
  }
  return {
    name,
    type: 'gauge',
    help: getDocumented(name).meaning,
    unit: '',
    bounds: [],
    length,
    order: Uint32Array.from(values, (_, i) => i),
    labels: { bytes: Buffer.concat(parts.map(({ bytes }) => bytes)), ends },
    values,
    created: undefined,
  }
}
