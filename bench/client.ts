import { once } from 'node:events'
import { Agent, request, type IncomingMessage } from 'node:http'

// Prosody 13.0 cuts an HTTP response at 4 MiB and leaves the connection open, so the request needs a timeout.
const TIMEOUT_MS = 12_000
/** The connections of `get`. Destroy it at the end of the benchmark. */
export const agent = new Agent({ keepAlive: true })

/**
 * Sends a GET request on a keep-alive connection, as Prometheus does.
 *
 * @returns The duration and the size of the body. `ms` is Infinity if Prosody cut the response.
 */
export async function get(
  url: string,
  timeoutMs = TIMEOUT_MS,
): Promise<{ ms: number; bytes: number }> {
  const started = performance.now()
  const signal = AbortSignal.timeout(timeoutMs)
  let bytes = 0
  try {
    const sent = request(url, { agent, signal })
    sent.end()
    const [response] = (await once(sent, 'response')) as [IncomingMessage]
    if (response.statusCode !== 200) throw new Error(`${url}: status ${response.statusCode}`)
    for await (const chunk of response) bytes += (chunk as Buffer).length
    return { ms: performance.now() - started, bytes }
  } catch (error) {
    if (!signal.aborted) throw error
    return { ms: Infinity, bytes }
  }
}
