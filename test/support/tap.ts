import xml, { type Element } from '@xmpp/xml'
import { once } from 'node:events'
import { connect, createServer } from 'node:net'
import type { TestContext } from 'node:test'
import { freePort } from './setup/process.js'

/** Starts a proxy in front of Prosody's component port. The proxy records everything that the exporter sends. */
export async function startTap(t: Pick<TestContext, 'after'>, componentPort: number) {
  const stanzas: Element[] = []
  let bytes = ''
  const server = createServer((client) => {
    const upstream = connect(componentPort, '127.0.0.1')
    const parser = new xml.Parser()
    parser.on('element', (element: Element) => {
      stanzas.push(element)
    })
    client.on('data', (chunk) => {
      bytes += String(chunk)
      parser.write(String(chunk))
    })
    client.pipe(upstream).pipe(client)
    for (const socket of [client, upstream]) {
      socket.on('error', () => undefined)
      socket.on('close', () => {
        client.destroy()
        upstream.destroy()
      })
    }
    t.after(() => client.destroy())
  })
  const port = await freePort()
  server.listen(port, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => server.close())
  return { service: `xmpp://127.0.0.1:${port}`, stanzas: () => stanzas, bytes: () => bytes }
}
