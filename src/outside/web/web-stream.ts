/** What BOSH and WebSocket have in common: the features and the errors of a stream. */

import type { Element } from '../../xmpp/xml.js'
import { judgeFirstElement, readFeatures } from '../probe/features.js'
import { addProblem, WebFailure, type WebFindings } from './web-connection.js'

/**
 * Reads the stream features for a client that has not logged in (RFC 6120 §4.3.2).
 *
 * @throws {WebFailure} The element is a stream error, or something else.
 */
export function readWebFeatures(element: Element, findings: WebFindings): void {
  const failure = judgeFirstElement(element)
  if (failure) throw new WebFailure(failure.code, failure.detail)
  const { mechanisms, channelBindings } = readFeatures(element, element)
  findings.mechanisms = mechanisms
  findings.channelBindings = channelBindings
  if (mechanisms.length === 0) addProblem(findings, 'mechanisms_missing')
}
