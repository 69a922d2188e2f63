import { randomInt } from 'node:crypto'
import { domainToUnicode } from 'node:url'
import { xml, type Element } from '../../xmpp/xml.js'
import { NS_STREAM } from '../probe/features.js'
import { createHttpsClient, type HttpsResponse } from './https-request.js'
import { WebFailure, type WebConnection, type WebFindings } from './web-connection.js'
import { readWebFeatures } from './web-stream.js'
import { parseXmlDocument } from './xml-document.js'

/** XEP-0124 */
const NS_HTTP_BIND = 'http://jabber.org/protocol/httpbind'
/** XEP-0206 */
const NS_XBOSH = 'urn:xmpp:xbosh'

// The largest request identifier that a session may begin with, so that it never exceeds 2^53 (XEP-0124 §14).
const MAX_FIRST_RID = 2 ** 32

/**
 * Requests a BOSH session for a domain (XEP-0206 §2), reads the stream features, and terminates the session. It never
 * authenticates.
 */
export async function checkBosh(
  domain: string,
  url: URL,
  connection: WebConnection,
  findings: WebFindings,
): Promise<void> {
  const client = createHttpsClient(connection, findings)
  const firstRid = randomInt(1, MAX_FIRST_RID)
  const post = async (attributes: Readonly<Record<string, string>>): Promise<HttpsResponse> => {
    const body = String(xml('body', { ...attributes, xmlns: NS_HTTP_BIND }))
    const headers = { 'Content-Type': 'text/xml; charset=utf-8' }
    findings.transcript.sent(body)
    return await client.send({ method: 'POST', url, headers, body })
  }
  const response = await post({
    // A server knows its hosts by their Unicode form (RFC 7622 §3.2).
    to: domainToUnicode(domain),
    ver: '1.6',
    wait: '1',
    hold: '1',
    rid: String(firstRid),
    'xml:lang': 'en',
    'xmpp:version': '1.0',
    'xmlns:xmpp': NS_XBOSH,
  })
  const sid = readSession(readBody(response), findings)
  if (!client.isReusable()) {
    // Another connection would count in the limit. The server ends the session after its period of inactivity.
    findings.transcript.note('The server closed the connection before the end of the session.')
    return
  }
  await post({ rid: String(firstRid + 1), sid, type: 'terminate' })
}

function readBody({ status, body }: HttpsResponse): Element {
  if (status !== 200) throw new WebFailure('web_status', `HTTP ${status}`)
  const element = parseXmlDocument(body)
  if (element?.is('body', NS_HTTP_BIND) !== true)
    throw new WebFailure('web_not_xmpp', 'The response is not a BOSH body.')
  return element
}

/** Returns the identifier of the new session. */
function readSession(body: Element, findings: WebFindings): string {
  findings.transcript.received(String(body))
  const { type, condition = 'undefined-condition', sid = '' } = body.attrs
  // The condition remote-stream-error means that the stream error is inside (XEP-0124 §17.2).
  const first = body.getChild('error', NS_STREAM) ?? body.getChild('features', NS_STREAM)
  if (type === 'terminate' && first?.is('error') !== true)
    throw new WebFailure(isUnknownHost(condition) ? 'host_unknown' : 'stream_error', condition)
  // The features may come in a later response (XEP-0206 §2), which the check does not wait for.
  if (first) readWebFeatures(first, findings)
  if (sid === '') throw new WebFailure('web_not_xmpp', 'The BOSH body has no session identifier.')
  return sid
}

/** The conditions with which servers reject the host (XEP-0124 §17.2). Prosody sends improper-addressing. */
const isUnknownHost = (condition: string): boolean =>
  ['host-unknown', 'host-gone', 'improper-addressing'].includes(condition)
