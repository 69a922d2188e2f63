import type { Collector } from '../../src/collectors/collector.js'
import { CollectorError } from '../../src/collectors/failure.js'
import { createRegistryCollector, REGISTRY_NODE } from '../../src/collectors/registry/registry.js'
import { DecodeError, CommandError, LinkError, StanzaError } from '../../src/errors.js'
import { checkRefusal, type Target } from '../target.js'
import { parseChildren } from '../xml.js'
import { checkExposition } from './check-exposition.js'

const page = (attrs: string, ...lines: string[]) =>
  `<statistics xmlns='${REGISTRY_NODE}' ${attrs}>${lines.map((each) => `<lines>${each}</lines>`).join('')}</statistics>`
const FIRST = 'F\t1\tcounter\ta/b\t\tHelp &amp;.\t1\thost\nS\t1\t1\t\texample.com\t5'
const MORE = 'F\t2\thistogram\td\ts\t\t0\t1\tinf\nS\t2\t2\t1.5\t7\t2\t1\t2'

/** Collects up to three times from a server that returns the input as pages of the statistics registry. */
export const registryPage: Target = {
  name: 'registry-page',
  weight: 2,
  seeds: [
    page("epoch='e' change='1' size='1' last='1' updated='1700000000'", FIRST),
    page("epoch='e' change='1' size='2' last='1'", FIRST) +
      page("epoch='e' change='2' size='2' last='2'", MORE) +
      page("epoch='e' change='3' size='2' last='2'", '1\t6'),
    page("epoch='e' change='1' size='2' last='1'", FIRST) +
      page("epoch='f' change='1' size='1' last='1'"),
    "<x xmlns='jabber:x:data' type='form'/>",
  ],
  words: [
    ...[
      "epoch='",
      "change='",
      "size='",
      "last='",
      "updated='",
      '<lines>',
      '</lines>',
      '&#10;',
      '&#9;',
    ],
    ...[
      '</statistics>',
      `<statistics xmlns='${REGISTRY_NODE}' `,
      FIRST,
      MORE,
      '\t',
      '\n',
      'e',
      'f',
    ],
  ],
  async run(input) {
    const pages = parseChildren(input.toString())
    const request = () => {
      const payload = pages.shift()
      if (!payload) return Promise.reject(new LinkError('the input has no more pages'))
      const [iq] = parseChildren(
        `<iq type='result'><command xmlns='http://jabber.org/protocol/commands' node='${REGISTRY_NODE}' status='completed'/></iq>`,
      )
      iq!.getChild('command')!.append(payload)
      return Promise.resolve(iq!)
    }
    const collector = createRegistryCollector(
      { request, domain: 'd' },
      {
        auditEvery: 2,
        names: ['openmetrics', 'single_underscore', 'mod_prometheus'],
        pause: () => Promise.resolve(),
      },
    )
    for (let left = 3; left > 0 && pages.length > 0; left--) await collect(collector)
  },
}

async function collect(collector: Collector): Promise<void> {
  try {
    const { families, exporterFamilies: about } = await collector.collect({ timeoutMs: 10_000 })
    await checkExposition([...families, ...(about ?? [])])
  } catch (error) {
    checkRefusal([CollectorError, DecodeError, CommandError, LinkError, StanzaError], error)
  }
}
