// A component that pings Prosody every millisecond (XEP-0199) and reports how long it waited for each result.
// It runs in its own process. Its arguments are port, domain, secret and the host to ping. The parent process
// stops it.

import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { connect } from 'node:net'
import process from 'node:process'

const [port = '', domain = '', secret = '', host = ''] = process.argv.slice(2)
const socket = connect(Number(port), '127.0.0.1').setNoDelay(true).setEncoding('utf8')
await once(socket, 'connect')
socket.write(
  `<stream:stream xmlns='jabber:component:accept' xmlns:stream='http://etherx.jabber.org/streams' to='${domain}'>`,
)
const header = await until(/<stream:stream[^>]* id='([^']+)'/)
socket.write(
  `<handshake>${createHash('sha1')
    .update(header[1]! + secret)
    .digest('hex')}</handshake>`,
)
await until(/<handshake/)

async function until(pattern: RegExp): Promise<RegExpExecArray> {
  let text = ''
  for (;;) {
    const match = pattern.exec(text)
    if (match) return match
    text += String((await once(socket, 'data'))[0])
  }
}

// Matches plain text instead of parsing XML, to stay fast when a thousand results arrive together.
let waits: number[] = []
const sentAt: number[] = []
let answered = 0
let rest = ''
socket.on('data', (chunk: string) => {
  const now = performance.now()
  const parts = (rest + chunk).split("id='p")
  for (const part of parts.slice(1, -1)) answer(part, now)
  // A chunk can end within an id.
  const last = parts.length > 1 ? parts.at(-1)! : ''
  if (last.includes("'")) {
    answer(last, now)
    rest = ''
  } else rest = parts.length > 1 ? `id='p${last}` : (rest + chunk).slice(-8)
})
function answer(text: string, now: number): void {
  waits.push(now - sentAt[Number.parseInt(text, 10)]!)
  answered++
}

setInterval(() => {
  const id = sentAt.push(performance.now()) - 1
  socket.write(
    `<iq type='get' id='p${id}' from='${domain}' to='${host}'><ping xmlns='urn:xmpp:ping'/></iq>`,
  )
}, 1)

/** Each message ends an interval. The response is the list of waits of all pings in it, in milliseconds. */
process.on('message', () => {
  const sent = sentAt.length
  const settle = () => {
    if (answered < sent) {
      setImmediate(settle)
      return
    }
    process.send!(waits)
    waits = []
  }
  settle()
})
process.on('disconnect', () => process.exit(0))
process.send!('ready')
