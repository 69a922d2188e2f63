// Exports XML elements without `@xmpp/component`. The collector definitions, which `--help` loads, need only XML
// elements, and `@xmpp/xml` loads in half of the time of `@xmpp/component`.

import xml, { type Element } from '@xmpp/xml'

/** Creates a parser for one stream. It emits `start`, `element`, `end` and `error`. */
export const createParser = () => new xml.Parser()

export { xml }
export type { Element }
