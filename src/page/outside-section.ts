import { html } from 'hono/html'
import {
  formatFamily,
  formatTarget,
  isMechanismName,
  type DomainCheck,
  type EndpointCheck,
} from '../outside/outside-check.js'
import { isUrgent, type AttentionEntry } from './attention.js'
import {
  formatCount,
  formatDays,
  formatElapsed,
  formatNumber,
  formatTime,
  type Html,
} from './format-values.js'
import { listDomainEntries, maskAddresses, mergeEntries } from './outside-entries.js'

/** What the status page shows about the checks of domains from outside. */
export type OutsideSection = {
  /** Lists the problems of all domains, for the list of what needs attention. */
  readonly listEntries: () => readonly AttentionEntry[]
  readonly countDomains: () => DomainCounts
  readonly render: () => Html
}

export type DomainCounts = { readonly checked: number; readonly impaired: number }

/** A check and its problems, urgent ones first. */
type DomainView = { readonly check: DomainCheck; readonly entries: readonly AttentionEntry[] }

// These limits keep the page small. Each change is sent to each viewer.
const MAX_DOMAINS = 20
const MAX_ENTRIES = 10
const MAX_ENDPOINTS = 16
const MAX_MECHANISMS = 4
const MAX_ISSUER_LENGTH = 60

/**
 * This module loads the folder `outside`. So only an exporter that checks domains may import it.
 *
 * @param getChecks Returns the last check of each domain that has been checked.
 */
export function createOutsideSection(getChecks: () => readonly DomainCheck[]): OutsideSection {
  const known = new WeakMap<DomainCheck, DomainView>()
  const getView = (check: DomainCheck): DomainView => {
    const view = known.get(check) ?? { check, entries: listDomainEntries(check) }
    known.set(check, view)
    return view
  }
  const getViews = () => getChecks().map(getView).sort(compareViews)

  return {
    listEntries: () =>
      mergeEntries(getViews().map(({ check: { domain }, entries }) => ({ domain, entries }))),
    countDomains: () => {
      const views = getViews()
      return {
        checked: views.length,
        impaired: views.filter(({ entries }) => entries.length > 0).length,
      }
    },
    render: () =>
      html`<section aria-labelledby="outside-title">
        <h2 id="outside-title">From outside</h2>
        <div class="card">${renderDomains(getViews())}</div>
      </section>`,
  }
}

/** Domains with errors come first, then those with warnings. */
function compareViews(a: DomainView, b: DomainView): number {
  return rank(a) - rank(b) || (a.check.domain < b.check.domain ? -1 : 1)
}

const STATES = ['down', 'impaired', 'up'] as const

function rank({ entries }: DomainView): number {
  if (entries.some(isUrgent)) return 0
  return entries.length > 0 ? 1 : 2
}

function renderDomains(views: readonly DomainView[]): Html {
  const [first, ...others] = views
  if (!first) return html`<p class="quiet">The first check has not ended yet.</p>`
  if (others.length === 0) {
    return html`<div class="domain ${STATES[rank(first)]}">${renderTitle(first)}</div>
      ${renderFindings(first)}`
  }
  const omitted = views.slice(MAX_DOMAINS)
  const impaired = omitted.filter(({ entries }) => entries.length > 0).length
  const note = impaired > 0 ? `, ${formatNumber(impaired)} of them with a problem` : ''
  return html`<ul class="domains">
      ${views.slice(0, MAX_DOMAINS).map((view) => html`<li>${renderDomain(view)}</li>`)}
    </ul>
    ${
      omitted.length > 0
        ? html`<p class="quiet">Not shown: ${formatCount(omitted.length, 'domain')}${note}.</p>`
        : ''
    }`
}

/** With several domains, a click shows what was found. */
function renderDomain(view: DomainView): Html {
  return html`<details>
    <summary class="domain ${STATES[rank(view)]}">${renderTitle(view)}</summary>
    ${renderFindings(view)}
  </details>`
}

function renderTitle({ check, entries }: DomainView): Html {
  const state = entries.length > 0 ? formatCount(entries.length, 'problem') : 'works'
  return html`<b>${check.domain}</b> <span class="state">${state}</span>
    <span class="quiet">checked at ${formatTime(check.endedAtSeconds * 1000)}</span>`
}

function renderFindings({ check, entries }: DomainView): Html {
  const endpoints = [...check.endpoints].sort((a, b) => rankEndpoint(a) - rankEndpoint(b))
  return html`${renderProblems(entries)}
    <ul class="sources">
      ${endpoints.slice(0, MAX_ENDPOINTS).map((endpoint) => renderEndpoint(endpoint, check))}
    </ul>
    ${renderOmitted(endpoints.length - MAX_ENDPOINTS, 'endpoint')}
    <p class="quiet">${describeLookups(check)}</p>`
}

/** A click shows the remedy. The list of what needs attention has it too, for the first problems. */
function renderProblems(entries: readonly AttentionEntry[]): Html {
  return html`<ul class="problems">
      ${entries.slice(0, MAX_ENTRIES).map(
        (entry) =>
          html`<li class="${entry.severity}">
            <span class="visually-hidden">${isUrgent(entry) ? 'Error:' : 'Warning:'}</span>
            <details>
              <summary>${entry.cause}</summary>
              ${entry.remedy}
            </details>
          </li>`,
      )}
    </ul>
    ${renderOmitted(entries.length - MAX_ENTRIES, 'problem')}`
}

function renderOmitted(count: number, noun: string): Html {
  return count > 0 ? html`<p class="quiet">Not shown: ${formatCount(count, noun)}.</p>` : html``
}

/** Endpoints that are down come first, then those with warnings. */
function rankEndpoint({ isUp, problems }: EndpointCheck): number {
  if (!isUp) return 0
  return problems.length > 0 ? 1 : 2
}

const ENDPOINT_STATES = [
  { name: 'failed', text: 'failed' },
  { name: 'impaired', text: 'warning' },
  { name: 'works', text: 'works' },
] as const

function renderEndpoint(found: EndpointCheck, check: DomainCheck): Html {
  const { endpoint, problems, seconds } = found
  const { name, text } = ENDPOINT_STATES[rankEndpoint(found)]!
  const total = Object.values(seconds).reduce((sum, each) => sum + each, 0)
  const place = `${formatTarget(endpoint)} over ${formatFamily(endpoint.family)}`
  const facts = [maskAddresses(place), ...listFacts(found, check.endedAtSeconds)]
  return html`<li class="${name}">
    <b>${endpoint.service}</b>
    <span class="state">${text}</span>
    <p>${facts.join('; ')}</p>
    <span class="duration">${total > 0 ? formatElapsed(total) : ''}</span>
    ${
      problems.length > 0
        ? html`<p class="reason">${problems.map(({ code }) => code).join(', ')}</p>`
        : ''
    }
  </li>`
}

/** Lists what was found at an endpoint. The names of issuers and mechanisms come from the network. */
function listFacts(
  { tls, certificate, mechanisms, offersDialback, requiresCertificate }: EndpointCheck,
  nowSeconds: number,
): string[] {
  return [
    ...(tls ? [tls.version] : []),
    ...(certificate
      ? [
          `certificate of ${nameIssuer(certificate.issuer)} ` +
            describeExpiry((certificate.expiresAtSeconds - nowSeconds) * 1000),
        ]
      : []),
    ...(mechanisms && mechanisms.length > 0 ? [nameMechanisms(mechanisms)] : []),
    ...(offersDialback ? ['dialback'] : []),
    ...(requiresCertificate ? ['only for servers with a certificate'] : []),
  ]
}

function nameIssuer(issuer: string): string {
  const isLong = issuer.length > MAX_ISSUER_LENGTH
  return maskAddresses(isLong ? `${issuer.slice(0, MAX_ISSUER_LENGTH)}…` : issuer)
}

const describeExpiry = (leftMs: number) =>
  leftMs < 0 ? `expired ${formatDays(-leftMs)} ago` : `expires in ${formatDays(leftMs)}`

function nameMechanisms(mechanisms: readonly string[]): string {
  const names = mechanisms.filter(isMechanismName)
  const omitted = mechanisms.length - Math.min(names.length, MAX_MECHANISMS)
  const shown = names.slice(0, MAX_MECHANISMS).join(', ')
  return omitted > 0 ? `${shown} and ${formatNumber(omitted)} more` : shown
}

function describeLookups({ lookups }: DomainCheck): string {
  const describe = ({ state, records }: DomainCheck['lookups'][number]) => {
    if (state === 'found') return formatNumber(records)
    return { missing: 'none', not_offered: 'not offered', failed: 'no answer' }[state]
  }
  if (lookups.length === 0) return ''
  return `SRV records: ${lookups.map((each) => `${each.service} ${describe(each)}`).join(', ')}.`
}
