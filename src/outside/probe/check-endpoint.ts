import type { ConnectionLimit } from '../connection-limit.js'
import {
  describeEndpoint,
  type Endpoint,
  type EndpointCheck,
  type Problem,
  type SrvService,
} from '../outside-check.js'
import { isError } from '../problem-severity.js'
import {
  converse,
  createHeader,
  isDirectTls,
  isServerService,
  ProbeError,
  tlsOptions,
  type Conversation,
  type Findings,
} from './converse.js'
import { createEndpointLink, LinkEndError, type EndpointLink } from './endpoint-link.js'
import {
  CERTIFICATE_REQUIRED,
  isCertificateRequired,
  nameFailure,
  showsTls,
  type ConnectionStage,
  type NamedFailure,
} from './name-failure.js'
import { createTranscript, type Transcript } from './transcript.js'
import type { TrustStore } from './trust-store.js'

export type EndpointOptions = {
  /** The time for each connection, from TCP to the features of the stream. */
  readonly timeoutMs: number
  readonly trust: TrustStore
  /** The domain in whose name the stream to another server is opened. Default: none. */
  readonly s2sFrom?: string
  readonly limit: ConnectionLimit
  readonly signal: AbortSignal
}

/**
 * Checks the addresses of an endpoint one after the other. Returns the first check that fails, or else
 * that of the first address. Everything that the network does is part of the result.
 *
 * @throws The reason of `signal`, when it is aborted.
 */
export async function checkEndpoint(
  endpoint: Endpoint<SrvService>,
  options: EndpointOptions,
): Promise<EndpointCheck> {
  let first: EndpointCheck | undefined
  for (const address of endpoint.addresses) {
    const check = await checkAddress(endpoint, address, options)
    if (!check.isUp) return check
    first ??= check
  }
  if (first) return first
  const findings = createFindings()
  findings.problems.push({ code: 'srv_target_not_found' })
  return toCheck(endpoint, findings, createTranscript())
}

async function checkAddress(
  endpoint: Endpoint<SrvService>,
  address: string,
  options: EndpointOptions,
): Promise<EndpointCheck> {
  const transcript = createTranscript()
  const findings = createFindings()
  const visit = (talk: (link: EndpointLink) => Promise<void>) =>
    options.limit.run(address, () => useLink(talk, options, transcript), options.signal)
  const { trust, s2sFrom } = options
  const progress: Conversation['progress'] = { stage: 'tcp' }
  let secondLook: SecondLook | undefined
  await visit(async (link) => {
    try {
      await converse({ endpoint, address, link, transcript, findings, progress, trust, s2sFrom })
    } catch (error) {
      const found = nameEnd(error, endpoint, progress.stage, link)
      findings.problems.push(found.failure)
      secondLook = found.secondLook
    }
  })
  if (secondLook) {
    transcript.note(`Connecting again, ${secondLook === 'tls' ? 'with' : 'without'} TLS.`)
    const look = { tls: lookForTls, plain: lookForPlain }[secondLook]
    await visit(async (link) => {
      const found = await look(link, endpoint, address, trust)
      if (found) findings.problems.splice(-1, 1, found)
    })
  }
  return toCheck(endpoint, findings, transcript)
}

const createFindings = (): Findings => ({ problems: [], seconds: {} })

/** Gives a new link to `talk`, and closes it. */
async function useLink(
  talk: (link: EndpointLink) => Promise<void>,
  { timeoutMs, signal }: EndpointOptions,
  transcript: Transcript,
): Promise<void> {
  signal.throwIfAborted()
  const link = createEndpointLink({ timeoutMs, signal, transcript })
  try {
    await talk(link)
  } finally {
    await link.close()
  }
}

/** The second connection that can show why the first one failed: one with TLS from the start, or one without. */
type SecondLook = 'tls' | 'plain'

function nameEnd(
  error: unknown,
  { service }: Endpoint<SrvService>,
  stage: ConnectionStage,
  link: EndpointLink,
): { readonly failure: NamedFailure; readonly secondLook?: SecondLook } {
  if (error instanceof ProbeError) return { failure: error.failure }
  if (!(error instanceof LinkEndError)) throw error
  const context = {
    stage,
    isDirectTls: isDirectTls(service),
    isServerService: isServerService(service),
    received: link.countReceived(),
    hasKeys: link.hasKeys(),
  }
  const { end } = error
  if (isCertificateRequired(end, context)) return { failure: { code: CERTIFICATE_REQUIRED } }
  const failure = nameFailure(end, context)
  // A server that expects TLS often closes the connection without an answer to the header of a stream.
  if (stage === 'header' && failure.code === 'connection_reset')
    return { failure, secondLook: 'tls' }
  const canBePlain = stage === 'tls' && context.isDirectTls && end.kind !== 'deadline'
  return canBePlain && !showsTls(end, context) ? { failure, secondLook: 'plain' } : { failure }
}

/** Returns `tls_unexpected` if the other side has TLS from the start. */
async function lookForTls(
  link: EndpointLink,
  endpoint: Endpoint<SrvService>,
  address: string,
  trust: TrustStore,
): Promise<NamedFailure | undefined> {
  try {
    await link.connect(address, endpoint.port)
    await link.secure(tlsOptions({ endpoint, trust }))
    return { code: 'tls_unexpected' }
  } catch (error) {
    if (!(error instanceof LinkEndError)) throw error
    return showsTls(error.end, { hasKeys: link.hasKeys() }) ? { code: 'tls_unexpected' } : undefined
  }
}

/** Returns what the other side speaks instead of TLS, if that can be recognized. */
async function lookForPlain(
  link: EndpointLink,
  endpoint: Endpoint<SrvService>,
  address: string,
): Promise<NamedFailure | undefined> {
  try {
    await link.connect(address, endpoint.port)
    const root = await link.openStream(createHeader(endpoint))
    return root.getName() === 'stream' ? { code: 'tls_missing' } : { code: 'not_xmpp' }
  } catch (error) {
    if (!(error instanceof LinkEndError)) throw error
    return error.end.kind === 'foreign' ? error.end.start : undefined
  }
}

function toCheck(
  endpoint: Endpoint<SrvService>,
  findings: Findings,
  transcript: Transcript,
): EndpointCheck {
  const labels = describeEndpoint(endpoint)
  const { problems: failures, ...found } = findings
  const problems = failures.flatMap((failure): Problem[] =>
    failure.code === CERTIFICATE_REQUIRED ? [] : [{ ...failure, ...labels }],
  )
  return {
    ...found,
    endpoint,
    checkedAtSeconds: Date.now() / 1000,
    isUp: !problems.some(({ code }) => isError(code)),
    problems,
    ...(problems.length < failures.length && { requiresCertificate: true }),
    transcript: transcript.lines,
  }
}
