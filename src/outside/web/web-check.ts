import {
  describeEndpoint,
  type Endpoint,
  type EndpointCheck,
  type UnplacedProblem,
  type WebService,
} from '../outside-check.js'
import { createTranscript } from '../probe/transcript.js'
import { isError } from '../problem-severity.js'
import type { WebFindings } from './web-connection.js'

export const createFindings = (): WebFindings => ({
  problems: [],
  seconds: {},
  transcript: createTranscript(),
})

/** Returns what was found at one address as the check of its endpoint. */
export function toWebCheck(
  endpoint: Endpoint<WebService>,
  { problems, transcript, ...findings }: WebFindings,
): EndpointCheck {
  // Several connections to an address can find the same problem, for example an expired certificate.
  const byCode = new Map<string, UnplacedProblem>()
  for (const problem of problems) if (!byCode.has(problem.code)) byCode.set(problem.code, problem)
  const unique = [...byCode.values()]
  return {
    ...findings,
    transcript: transcript.lines,
    endpoint,
    checkedAtSeconds: Date.now() / 1000,
    isUp: !unique.some(({ code }) => isError(code)),
    problems: unique.map((problem) => ({ ...describeEndpoint(endpoint), ...problem })),
  }
}

/** Returns the first check that failed, or else the first one. */
export const chooseCheck = (checks: readonly EndpointCheck[]): EndpointCheck | undefined =>
  checks.find(({ isUp }) => !isUp) ?? checks[0]
