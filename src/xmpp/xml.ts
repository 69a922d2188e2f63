// Elements without the component library: `@xmpp/xml` loads in half of the time of `@xmpp/component`, and the
// collectors' definitions, which also `--help` reads, need nothing else of XMPP.

import xml, { type Element } from '@xmpp/xml'

export { xml }
export type { Element }
