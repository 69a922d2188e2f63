/** Opens a component stream (XEP-0114) without the code of the exporter, and pings hosts of the server over it. */

import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { connect } from 'node:net'

/** Opens the stream and logs in. `until` waits for data that matches a pattern, and forgets the data up to there. */
export async function openComponent(port: number, domain: string, secret: string) {
  const socket = connect(port, '127.0.0.1').setNoDelay(true).setEncoding('utf8')
  let text = ''
  const until = async (pattern: RegExp): Promise<RegExpExecArray> => {
    for (;;) {
      const match = pattern.exec(text)
      if (match) {
        text = ''
        return match
      }
      text += String((await once(socket, 'data'))[0])
    }
  }
  await once(socket, 'connect')
  socket.write(
    `<stream:stream xmlns='jabber:component:accept' xmlns:stream='http://etherx.jabber.org/streams' to='${domain}'>`,
  )
  const header = await until(/<stream:stream[^>]* id='([^']+)'/)
  const handshake = createHash('sha1')
    .update(header[1]! + secret)
    .digest('hex')
  socket.write(`<handshake>${handshake}</handshake>`)
  await until(/<handshake/)
  return { socket, until }
}

/** Returns the text of a ping (XEP-0199). */
export const pingOf = (id: string, from: string, to: string) =>
  `<iq type='get' id='${id}' from='${from}' to='${to}'><ping xmlns='urn:xmpp:ping'/></iq>`
