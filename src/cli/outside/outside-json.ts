import type { DomainCheck, EndpointCheck, Problem } from '../../outside/outside-check.js'
import { isError, PROBLEMS } from '../../outside/problem-severity.js'
import { describeProblem } from '../../outside/problem-texts.js'
import { listSortedProblems } from './found-problems.js'
import type { ReportOptions } from './outside-report.js'

/** Builds the output of `--json`. docs/outside.md documents its keys; later versions only add keys. */
export function buildOutsideJson(
  check: DomainCheck,
  { families, isVerbose }: Pick<ReportOptions, 'families' | 'isVerbose'>,
) {
  const problems = listSortedProblems(check)
  return {
    domain: check.domain,
    ok: !problems.some(({ code }) => isError(code)),
    started: formatTime(check.startedAtSeconds),
    ended: formatTime(check.endedAtSeconds),
    families,
    problems: problems.map((problem) => buildProblem(problem, check.domain)),
    srv: check.lookups.map(({ service, state, records, seconds }) => ({
      ...{ service, state, records, seconds },
    })),
    endpoints: check.endpoints.map((each) => buildEndpoint(each, isVerbose)),
  }
}

function buildProblem(problem: Problem, domain: string) {
  const { code, service, target, family, detail } = problem
  return {
    code,
    severity: PROBLEMS[code],
    ...describeProblem(problem, domain),
    labels: { host: domain, service, target, family },
    detail,
  }
}

function buildEndpoint(check: EndpointCheck, isVerbose: boolean) {
  const { endpoint, certificate, tls } = check
  const { service, target, port, family, addresses } = endpoint
  return {
    ...{ service, target, port, family, addresses },
    up: check.isUp,
    problems: check.problems.map(({ code }) => code),
    seconds: check.seconds,
    tls,
    certificate: certificate && {
      sha256: certificate.sha256,
      names: certificate.names,
      issuer: certificate.issuer,
      expires: formatTime(certificate.expiresAtSeconds),
    },
    mechanisms: check.mechanisms,
    channel_bindings: check.channelBindings,
    dialback: check.offersDialback,
    requires_certificate: check.requiresCertificate,
    transcript: isVerbose ? check.transcript : undefined,
  }
}

function formatTime(seconds: number): string {
  return new Date(seconds * 1000).toISOString()
}
