import { Socket } from 'node:net'
import { openStream } from '../../src/xmpp/stream.js'
import type { Element } from '../../src/xmpp/xml.js'
import { must, type Target } from '../target.js'

const HEADER =
  "<?xml version='1.0'?><stream:stream xmlns='jabber:component:accept' xmlns:stream='http://etherx.jabber.org/streams' id='1'>"
const LIMITS = { bytes: 20_000, depth: 16, elements: 200 }
const turn = () => new Promise<void>((resolve) => setImmediate(resolve))

/**
 * Gives any bytes from the server, in any chunks, to a component stream. The stream must not throw. It either
 * continues or ends once with a reason.
 */
export const stream: Target = {
  name: 'stream',
  weight: 2,
  seeds: [
    `${HEADER}<handshake/><iq type='result' id='1' from='a'><query xmlns='b'>c&amp;é</query></iq>`,
    `${HEADER}<stream:error><conflict xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error></stream:stream>`,
    `${HEADER}<handshake></handshake> <message><body><![CDATA[<a>]]></body></message></stream:stream>`,
    "<!DOCTYPE a [<!ENTITY b 'c'>]><stream:stream/>",
  ],
  words: [
    ...[
      HEADER,
      '<handshake/>',
      '</stream:stream>',
      '<stream:error>',
      '</stream:error>',
      '<!DOCTYPE ',
    ],
    ...[
      '<![CDATA[',
      ']]>',
      '<!--',
      '-->',
      '<?',
      '?>',
      '&',
      '&#x',
      ';',
      "xmlns='",
      "='",
      '/>',
      '</',
    ],
    ...['<a>'.repeat(20), '<a/>'.repeat(40), '<see-other-host>', 'xmlns:stream='],
  ],
  async run(input) {
    const socket = await withoutNetwork(() => open())
    const seen: string[] = []
    const before = socket.stream
    // The first byte of the input determines the size of the chunks.
    const size = ((input[0] ?? 0) % 64) + 1
    const bytes = input[0] === 0x3c ? input : input.subarray(1)
    for (let at = 0; at < bytes.length; at += size) {
      socket.elements.length = 0
      socket.socket.emit('data', bytes.subarray(at, at + size))
      seen.push(...socket.elements.map((element) => element.name))
      if (at === 0 || at + size >= bytes.length || at % 16 === 0) await turn()
    }
    before.end('stopped', '')
    const end = await before.closed
    must(
      !/[\r\n]/.test(end.text) && end.text.length <= 400,
      `the reason must be one short line: ${end.text}`,
    )
    must(!before.isOnline(), 'a closed stream must not be online')
    const count = before.elements()
    socket.socket.emit('data', Buffer.from('<a/><b/>'))
    must(before.elements() === count, 'no element may arrive after the end')
    await turn()
  },
}

function open() {
  const elements: Element[] = []
  const stream = openStream({
    service: 'xmpp://127.0.0.1:1',
    domain: 'd',
    secret: 's',
    schedule: () => () => {},
    onOnline() {},
    onElement: (element) => {
      must(stream.isOnline(), 'an element may only arrive while the stream is online')
      element.toString()
      elements.push(element)
    },
    limits: LIMITS,
  })
  return { stream, elements }
}

/**
 * Starts a stream on a socket that has no network connection. This is faster than a real connection, and the target
 * injects the bytes from the server.
 */
async function withoutNetwork<T>(start: () => T): Promise<T & { socket: Socket }> {
  const connect = Object.getOwnPropertyDescriptor(Socket.prototype, 'connect')!
  let made: Socket | undefined
  Socket.prototype.connect = function (this: Socket) {
    // eslint-disable-next-line @typescript-eslint/no-this-alias
    made = this
    this.write = (_: unknown, ...rest: unknown[]) => {
      const done = rest.at(-1)
      if (typeof done === 'function')
        queueMicrotask(() => {
          ;(done as () => void)()
        })
      return true
    }
    return this
  }
  try {
    const started = start()
    const socket = made!
    socket.emit('connect')
    await turn()
    return { ...started, socket }
  } finally {
    Object.defineProperty(Socket.prototype, 'connect', connect)
  }
}
