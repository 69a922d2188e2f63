import { formatFamily, formatTarget, type EndpointCheck } from '../../outside/outside-check.js'
import { alignColumns } from './align-columns.js'

const DAY_SECONDS = 86_400

/** Formats a table with a line for each endpoint, and below it what the endpoints offer. */
export function formatEndpoints(checks: readonly EndpointCheck[]): string[] {
  const rows = checks.map((check) => [
    formatTarget(check.endpoint),
    formatFamily(check.endpoint.family),
    formatConnection(check),
    formatResult(check),
    check.tls?.version ?? '-',
    formatExpiry(check),
    formatTotal(check),
  ])
  const head = ['Target', 'Family', 'Service', 'Result', 'TLS', 'Certificate expires', 'Time']
  return [
    ...alignColumns([head, ...rows]),
    ...formatOffers('Authentication', checks, formatMechanisms),
    ...formatOffers('Channel binding', checks, ({ channelBindings = [] }) =>
      channelBindings.length > 0 ? channelBindings.join(', ') : undefined,
    ),
    ...formatOffers('Certificate', checks, formatCertificate),
  ]
}

function formatConnection({ endpoint: { service } }: EndpointCheck): string {
  if (service.startsWith('xmpps-')) return 'direct TLS'
  return service.startsWith('xmpp-') ? 'STARTTLS' : service
}

function formatResult({ isUp, problems }: EndpointCheck): string {
  if (!isUp) return 'FAILED'
  return problems.length > 0 ? 'warning' : 'ok'
}

/** Formats the day of the expiry, and how many days remain after the check. */
function formatExpiry({ certificate, checkedAtSeconds }: EndpointCheck): string {
  if (!certificate) return '-'
  const { expiresAtSeconds } = certificate
  const days = Math.floor((expiresAtSeconds - checkedAtSeconds) / DAY_SECONDS)
  const day = new Date(expiresAtSeconds * 1000).toISOString().slice(0, 10)
  return days < 0 ? `${day} (expired)` : `${day} (${days} ${days === 1 ? 'day' : 'days'})`
}

function formatTotal({ seconds }: EndpointCheck): string {
  const phases = Object.values(seconds)
  if (phases.length === 0) return '-'
  return formatMs(phases.reduce((sum, each) => sum + each, 0))
}

export const formatMs = (seconds: number): string => `${Math.round(seconds * 1000)} ms`

function formatMechanisms(check: EndpointCheck): string | undefined {
  const { mechanisms, offersDialback, requiresCertificate } = check
  if (requiresCertificate) return 'only for servers with a certificate'
  if (!mechanisms) return undefined
  const all = [...mechanisms, ...(offersDialback ? ['dialback'] : [])]
  return all.length > 0 ? all.join(', ') : 'none'
}

function formatCertificate({ certificate }: EndpointCheck): string | undefined {
  if (!certificate) return undefined
  const { names, issuer, sha256 } = certificate
  return `${names.join(', ') || 'no names'}; issued by ${issuer}; SHA-256 ${sha256.slice(0, 16)}…`
}

/**
 * Formats what the endpoints offer. Endpoints with the same offer share a line. It names them if other endpoints have
 * another offer.
 */
function formatOffers(
  label: string,
  checks: readonly EndpointCheck[],
  format: (check: EndpointCheck) => string | undefined,
): string[] {
  const groups = new Map<string, string[]>()
  for (const check of checks) {
    const offer = format(check)
    if (offer === undefined) continue
    const places = groups.get(offer) ?? []
    groups.set(offer, [
      ...places,
      `${formatTarget(check.endpoint)} ${formatFamily(check.endpoint.family)}`,
    ])
  }
  return [...groups].map(
    ([offer, places]) => `${label}: ${offer}${groups.size > 1 ? ` (${places.join(', ')})` : ''}`,
  )
}
