/** XEP-0004 */
export const NS_DATA_FORM = 'jabber:x:data'
/** XEP-0030 */
export const NS_DISCO_INFO = 'http://jabber.org/protocol/disco#info'
/** XEP-0030 */
export const NS_DISCO_ITEMS = 'http://jabber.org/protocol/disco#items'
/** XEP-0050 */
export const NS_COMMANDS = 'http://jabber.org/protocol/commands'
/** XEP-0133. The node of an admin command is this namespace, `#`, and the name of the command. */
export const NS_ADMIN = 'http://jabber.org/protocol/admin'
/** XEP-0184 */
export const NS_RECEIPTS = 'urn:xmpp:receipts'
/** XEP-0199 */
export const NS_PING = 'urn:xmpp:ping'
/** XEP-0359 */
export const NS_STANZA_ID = 'urn:xmpp:sid:0'
