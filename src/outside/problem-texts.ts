/**
 * The sentences for people about each problem: on the page, in the report of `prosody-exporter outside`, and in
 * docs/outside.md. The options exist in Prosody 0.12 and 13.0.
 */

import type { Problem } from './outside-check.js'
import type { ProblemCode } from './problem-severity.js'
import { CONNECTION_TEXTS } from './texts/connection-texts.js'
import { DNS_TEXTS } from './texts/dns-texts.js'
import { createProblemContext, type ProblemText } from './texts/problem-context.js'
import { TLS_TEXTS } from './texts/tls-texts.js'
import { WEB_TEXTS } from './texts/web-texts.js'

const TEXTS: Readonly<Record<ProblemCode, ProblemText>> = {
  ...DNS_TEXTS,
  ...CONNECTION_TEXTS,
  ...TLS_TEXTS,
  ...WEB_TEXTS,
}

export type ProblemDescription = {
  /** The fault and its place, in one sentence. */
  readonly cause: string
  /** What to change in DNS, in a firewall, in prosody.cfg.lua or with the certificate. One or two sentences. */
  readonly remedy: string
}

/** The names in a certificate, or the text of a stream error, can be long. */
const MAX_DETAIL_LENGTH = 200

/** @param domain The checked domain, as it is in `DomainCheck`. */
export function describeProblem(problem: Problem, domain: string): ProblemDescription {
  const context = createProblemContext(problem, domain)
  const { cause, remedy, hidesDetail } = TEXTS[problem.code]
  const detail = hidesDetail ? undefined : problem.detail
  return { cause: addDetail(cause(context), detail), remedy: remedy(context) }
}

function addDetail(cause: string, detail: string | undefined): string {
  if (!detail) return cause
  const isLong = detail.length > MAX_DETAIL_LENGTH
  return `${cause.slice(0, -1)} (${isLong ? `${detail.slice(0, MAX_DETAIL_LENGTH)}…` : detail}).`
}
