// A component that pings Prosody every millisecond (XEP-0199) and reports how long it waited for each result.
// The component runs in its own process, which ends when the parent process disconnects. The arguments are the
// component port, the domain of the component, its secret, and the host to ping.

import process from 'node:process'
import { openComponent, pingOf } from './component-stream.js'

const [port = '', domain = '', secret = '', host = ''] = process.argv.slice(2)
const { socket } = await openComponent(Number(port), domain, secret)

// The code searches for ids in the text instead of parsing XML. So it stays fast when Prosody, after a pause,
// answers 1,000 pings together.
let waits: number[] = []
const sentAt: number[] = []
let answered = 0
let rest = ''
socket.on('data', (chunk: string) => {
  const now = performance.now()
  const parts = (rest + chunk).split("id='p")
  for (const part of parts.slice(1, -1)) answer(part, now)
  // A chunk of the stream can end within the id of a ping, so the last id must have its closing quote.
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
  socket.write(pingOf(`p${id}`, domain, host))
}, 1)

/** For each message of the parent process, sends the waits of all pings since the previous message, in milliseconds. */
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
