/** A small XMPP server that authenticates itself to Prosody with dialback, and can then send any stanza. */

import { once } from 'node:events'
import { connect, createServer, type AddressInfo, type Socket } from 'node:net'
import type { TestContext } from 'node:test'
import type { TestProsody } from './prosody.js'
import { evalLua } from './real.js'
import { until } from './setup/process.js'

export type DialbackServer = {
  send(stanza: string): void
  /** Resolves when Prosody has closed the stream. */
  readonly closed: Promise<unknown>
  /** What Prosody has sent on the stream. */
  output(): string
}

const header = (from: string, to: string) =>
  "<?xml version='1.0'?><stream:stream xmlns='jabber:server' xmlns:db='jabber:server:dialback' " +
  `xmlns:stream='http://etherx.jabber.org/streams' id='s' version='1.0' from='${from}' to='${to}'>`

/**
 * Opens a stream from the server `domain` to the domain `to` of Prosody, and authenticates `domain`. Prosody needs the
 * modules test_dns and test_eval.
 *
 * @see XEP-0220 §2.1
 */
export async function connectAsServer(
  t: Pick<TestContext, 'after'>,
  prosody: TestProsody,
  { domain, to }: { readonly domain: string; readonly to: string },
): Promise<DialbackServer> {
  const sockets: Socket[] = []
  const authoritative = createServer((socket) => {
    sockets.push(socket)
    confirmKeys(socket, domain)
  })
  authoritative.listen(0, '127.0.0.1')
  await once(authoritative, 'listening')
  const { port } = authoritative.address() as AddressInfo
  await evalLua(prosody, `prosody.test_dns_ports = { ["${domain}"] = ${port} }`)

  const socket = connect(prosody.ports.s2s, '127.0.0.1')
  sockets.push(socket)
  t.after(() => {
    for (const each of sockets) each.destroy()
    authoritative.close()
  })
  let output = ''
  const closed = once(socket, 'close')
  socket.setEncoding('utf8').on('data', (text) => (output += String(text)))
  socket.on('error', () => undefined)
  socket.write(header(domain, to))
  await until(() => output.includes('</stream:features>'), { what: 'Prosody opens its stream' })
  socket.write(`<db:result from='${domain}' to='${to}'>key</db:result>`)
  await until(() => /<db:result[^>]*type=['"]valid/.test(output), {
    what: `Prosody accepts the dialback key of ${domain}`,
    timeoutMs: 60_000,
  })
  return {
    send: (stanza) => {
      socket.write(stanza)
    },
    closed,
    output: () => output,
  }
}

/** Acts as the authoritative server: accepts the dialback key of Prosody, and confirms each key that Prosody verifies. */
function confirmKeys(socket: Socket, domain: string): void {
  let input = ''
  socket.on('error', () => undefined)
  socket.setEncoding('utf8').on('data', (text) => {
    input += String(text)
    const to = /<stream:stream[^>]*from=['"]([^'"]+)/.exec(input)?.[1]
    if (to !== undefined) {
      input = input.replace('<stream:stream', '<opened')
      const features = "<dialback xmlns='urn:xmpp:features:dialback'/>"
      socket.write(`${header(domain, to)}<stream:features>${features}</stream:features>`)
    }
    for (;;) {
      const found = /<db:(result|verify)([^>]*)>[^<]*<\/db:\1>/.exec(input)
      if (!found) return
      const [whole, name, attributes = ''] = found
      input = input.replace(whole, '')
      const read = (each: string) => new RegExp(` ${each}=['"]([^'"]+)`).exec(attributes)?.[1] ?? ''
      const id = name === 'verify' ? ` id='${read('id')}'` : ''
      socket.write(`<db:${name} from='${read('to')}' to='${read('from')}'${id} type='valid'/>`)
    }
  })
}
