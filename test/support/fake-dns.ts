import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { createServer } from 'node:net'
import {
  decode,
  encode,
  streamEncode,
  TRUNCATED_RESPONSE,
  type Answer,
  type Packet,
} from 'dns-packet'
import { freePort } from './setup/process.js'

type Cleanup = { after(callback: () => unknown): void }

export type FakeQuery = {
  readonly name: string
  readonly type: string
  readonly transport: 'udp' | 'tcp'
}

export type FakeReply = {
  /** The default is NOERROR. */
  readonly code?: keyof typeof CODES
  readonly answers?: readonly Answer[]
  readonly isTruncated?: boolean
  /** Whether the reply has another id than the query, as that of an attacker who must guess it. */
  readonly hasWrongId?: boolean
}

/** Returns the replies to a query. Without a reply, the server is silent. */
export type FakeDnsHandler = (query: FakeQuery) => readonly FakeReply[]

/** The response codes of RFC 1035 §4.1.1. */
const CODES = { NOERROR: 0, FORMERR: 1, SERVFAIL: 2, NXDOMAIN: 3, NOTIMP: 4, REFUSED: 5 } as const

/** Starts a DNS server on loopback, for UDP and TCP. It stops after the test. */
export async function withFakeDns(
  t: Cleanup,
  handler: FakeDnsHandler,
): Promise<{ readonly nameServer: string; readonly queries: readonly FakeQuery[] }> {
  const queries: FakeQuery[] = []

  function reply(bytes: Buffer, transport: FakeQuery['transport']): Packet[] {
    const packet = decode(bytes)
    const [question] = packet.questions ?? []
    if (question === undefined) return []
    const query = { name: question.name, type: question.type, transport }
    queries.push(query)
    return handler(query).map(({ code, answers, isTruncated, hasWrongId }) => ({
      type: 'response',
      id: ((packet.id ?? 0) + (hasWrongId === true ? 1 : 0)) % 65_536,
      flags: CODES[code ?? 'NOERROR'] | (isTruncated === true ? TRUNCATED_RESPONSE : 0),
      questions: [question],
      answers: [...(answers ?? [])],
    }))
  }

  const port = await freePort()
  const udp = createSocket('udp4')
  udp.on('message', (bytes, from) => {
    for (const packet of reply(bytes, 'udp')) udp.send(encode(packet), from.port, from.address)
  })
  const tcp = createServer((socket) => {
    let received = Buffer.alloc(0)
    socket.on('error', () => undefined)
    socket.on('data', (chunk) => {
      received = Buffer.concat([received, chunk])
      // The length stands in front of each message (RFC 1035 §4.2.2).
      while (received.length >= 2 && received.length >= 2 + received.readUInt16BE()) {
        const end = 2 + received.readUInt16BE()
        for (const packet of reply(received.subarray(2, end), 'tcp'))
          socket.write(streamEncode(packet))
        received = received.subarray(end)
      }
    })
    t.after(() => socket.destroy())
  })
  udp.bind(port, '127.0.0.1')
  await once(udp, 'listening')
  t.after(() => udp.close())
  tcp.listen(port, '127.0.0.1')
  await once(tcp, 'listening')
  t.after(() => tcp.close())
  return { nameServer: `127.0.0.1:${port}`, queries }
}

/**
 * Answers from a list of records, as a resolver does: with the aliases of a name, and the error NXDOMAIN for a name
 * without records.
 */
export function answerFrom(records: readonly Answer[]): FakeDnsHandler {
  const find = (name: string, type: string, depth = 0): Answer[] => {
    const own = records.filter((each) => each.name === name)
    const matching = own.filter((each) => each.type === type)
    const alias = own.find((each) => each.type === 'CNAME')
    if (matching.length > 0 || alias?.type !== 'CNAME' || depth > 8) return matching
    return [alias, ...find(alias.data, type, depth + 1)]
  }
  return ({ name, type }) => {
    const answers = find(name.toLowerCase(), type)
    const last = answers.at(-1)
    const end = last?.type === 'CNAME' ? last.data : name.toLowerCase()
    const exists = records.some((each) => each.name === end)
    return [{ code: exists ? 'NOERROR' : 'NXDOMAIN', answers }]
  }
}

export const srv = (
  name: string,
  target: string,
  port: number,
  priority = 0,
  weight = 0,
): Answer => ({ type: 'SRV', name, data: { target, port, priority, weight } })

export const address = (name: string, data: string): Answer => ({
  type: data.includes(':') ? 'AAAA' : 'A',
  name,
  data,
})

export const alias = (name: string, data: string): Answer => ({ type: 'CNAME', name, data })
