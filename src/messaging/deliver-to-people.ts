import { getErrorMessage, LinkError, NotHandledError, StanzaError } from '../errors.js'
import { NS_PING } from '../xmpp/namespaces.js'
import { xml } from '../xmpp/xml.js'
import {
  createOutcomeCollector,
  delivered,
  describeError,
  describeSendFailure,
  NOT_CONNECTED,
  pending,
  type DeliveryOutcome,
  type OutcomeCollector,
} from './delivery-outcome.js'
import { createMessage } from './message-stanza.js'
import type { MessagingClient } from './messaging-client.js'
import type { SentMessages } from './sent-messages.js'

/** A message for one recipient. */
export type AddressedMessage = {
  readonly to: string
  readonly id: string
  readonly text: string
  /** The id of the earlier message that this one replaces. */
  readonly replaces: string | undefined
}

export type DeliveryChannel = {
  readonly client: MessagingClient
  readonly sent: SentMessages
  /** Called when an outcome arrives after the end of the delivery. */
  readonly onLateOutcome: (outcome: DeliveryOutcome) => void
}

/**
 * Sends messages to people, and then a ping to the component's own domain. Prosody processes the stanzas of a stream in
 * order (RFC 6120 §10.1), and answers an error before it processes the next stanza. So when the ping is answered or comes
 * back, Prosody has delivered, stored or passed on each message for which no error has arrived.
 *
 * The server of a recipient in another domain can answer an error later. `onLateOutcome` gets this error.
 */
export async function deliverToPeople(
  channel: DeliveryChannel,
  messages: readonly AddressedMessage[],
  timeoutMs: number,
): Promise<readonly DeliveryOutcome[]> {
  if (messages.length === 0) return []
  // Nothing in this function may wait between the messages and the ping: both have to be on the same stream.
  const collectors = messages.map((message) => write(channel, message))
  const problem = await findStreamProblem(channel.client, timeoutMs)
  return collectors.map((collector, i) => {
    const { to } = messages[i]!
    return collector.conclude(problem === undefined ? delivered(to) : pending(to, problem))
  })
}

function write(channel: DeliveryChannel, message: AddressedMessage): OutcomeCollector {
  const { client, sent, onLateOutcome } = channel
  const { to, id } = message
  const collector = createOutcomeCollector(onLateOutcome)
  sent.add(to, id, {
    onError: (error, from) => {
      // Prosody and the recipient's server answer from the address to which the message went. A client that answers with an
      // error has the message.
      if (from === to) collector.add(describeError(to, error, 'person'))
    },
  })
  try {
    client.send(createMessage({ ...message, from: client.address(), type: 'chat' }))
  } catch (error) {
    collector.add(describeSendFailure(to, error))
  }
  return collector
}

/** Returns why it is unknown whether the server has processed the messages; `undefined` if it has processed them. */
async function findStreamProblem(
  client: MessagingClient,
  timeoutMs: number,
): Promise<string | undefined> {
  try {
    await client.request('get', xml('ping', { xmlns: NS_PING }), { timeoutMs })
    return undefined
  } catch (error) {
    // An error answer proves the same, and so does the ping itself, which comes back if no module answers it.
    if (error instanceof StanzaError || error instanceof NotHandledError) return undefined
    return error instanceof LinkError ? NOT_CONNECTED : getErrorMessage(error)
  }
}
