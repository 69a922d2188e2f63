/** Logs users in and out of the Prosody of walk.test.ts. This program runs in the network of the test machine. */

import xml from '@xmpp/xml'
import process from 'node:process'
import { setTimeout as delay } from 'node:timers/promises'
import { encryptAsClient } from '../../support/traffic.js'
import { authenticate, login, sleepAndReturn } from '../../support/xmpp-client.js'

const [, , host = '', password = ''] = process.argv
const account = { port: 5222, jid: `user@${host}`, password }
const user = await login(account)
user.send(xml('presence'))
await user.joinRoom(`room@rooms.${host}`, 'nick')
for (;;) {
  await authenticate({ ...account, password: 'wrong' }).catch(() => undefined)
  await encryptAsClient(account.port, host)
  await sleepAndReturn(account)
  await delay(1000)
}
