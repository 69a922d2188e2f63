// The companion module's index as a model in memory, for sequences of events that a real server
// takes too long to go through. README of mod_adhoc_statistics is what it follows.

import { REGISTRY_NODE } from '../../src/collectors/registry/registry.js'
import { TimeoutError } from '../../src/errors.js'
import type { Connection } from '../../src/xmpp/connection.js'
import { xml, type Element } from '../../src/xmpp/xml.js'

type Metric = {
  readonly family: number
  readonly label: string
  value: number
  seen: number | undefined
  changed: number
  defined: number
}

export type RegistryModel = {
  /** A series of a family (numbered from 0), made if it is new. */
  set(family: number, label: string, value: number): void
  /** Makes so many new series at once. */
  add(family: number, count: number): void
  /** Gives the series of that id, from 0, another value. */
  move(index: number, value: number): void
  /** Replaces a family by one without series, as a reloaded module may: a new epoch. */
  replace(family: number): void
  /** What `set` and `replace` came to: `family{label}` to value. */
  readonly truth: () => Map<string, number>
  /** A connection to it. `fate` is asked at each request what becomes of it. */
  connect(fate: () => Fate): Pick<Connection, 'request' | 'domain'>
  /** Ids a page holds at most; may change between two requests. */
  pageSize: number
  /** Breaks the promise that a change is told: to see that somebody notices. */
  forgetNextChange(): void
}

export type Fate = 'answered' | 'request lost' | 'answer lost'

/** @param life Of the server; a registry of another one has another epoch. */
export function createRegistryModel(life = ''): RegistryModel {
  let metrics: Metric[] = []
  let epoch = 1
  let change = 0
  let generations: number[] = []
  let isForgetting = false

  const nameOf = (family: number) => `test_${family}_${generations[family] ?? 0}`

  function read(
    first: number,
    last: number,
    sinceOf: (id: number) => number,
  ): { lines: string; last: number } {
    change++
    let lines = ''
    const told = new Set<number>()
    for (let id = first; id <= last; id++) {
      const metric = metrics[id - 1]!
      if (!Object.is(metric.value, metric.seen)) {
        if (metric.seen === undefined) metric.defined = change
        metric.seen = metric.value
        if (!isForgetting || metric.defined === change) metric.changed = change
        else isForgetting = false
      }
      const since = sinceOf(id)
      if (metric.changed <= since) continue
      if (metric.defined <= since) lines += `${id}\t${metric.value}\n`
      else {
        if (!told.has(metric.family)) {
          lines += `F\t${metric.family}\tgauge\t${nameOf(metric.family)}\t\t\t1\tlabel\n`
        }
        told.add(metric.family)
        lines += `S\t${id}\t${metric.family}\t\t${metric.label}\t${metric.value}\n`
      }
    }
    return { lines, last }
  }

  const model: RegistryModel = {
    pageSize: 3,
    set(family, label, value) {
      const known = metrics.find((each) => each.family === family && each.label === label)
      if (known) known.value = value
      else metrics.push({ family, label, value, seen: undefined, changed: 0, defined: 0 })
    },
    add(family, count) {
      for (; count > 0; count--) {
        const label = `n${metrics.length}`
        metrics.push({ family, label, value: 1, seen: undefined, changed: 0, defined: 0 })
      }
    },
    move(index, value) {
      metrics[index]!.value = value
    },
    replace(family) {
      metrics = metrics.filter((each) => each.family !== family)
      generations[family] = (generations[family] ?? 0) + 1
      epoch++
    },
    truth: () =>
      new Map(metrics.map(({ family, label, value }) => [`${nameOf(family)}{${label}}`, value])),
    forgetNextChange() {
      isForgetting = true
    },
    connect: (fate) => ({
      domain: 'stats.example',
      request(_type, child) {
        const outcome = fate()
        const lost = () => Promise.reject(new TimeoutError('no reply'))
        if (outcome === 'request lost') return lost()
        const answer = answerTo(child)
        return outcome === 'answer lost' ? lost() : Promise.resolve(answer)
      },
    }),
  }

  function answerTo(command: Element): Element {
    const asked = command.getChild('statistics', REGISTRY_NODE)!.attrs
    const first = Number(asked['first'] ?? 1)
    const isKnown = asked['epoch'] === `${life}${epoch}`
    const cursors = (isKnown ? (asked['since'] ?? '0') : '0').split(' ').map((cursor) => {
      const [since, last = Infinity] = cursor.split(':').map(Number)
      return { since: since!, last }
    })
    const end = Math.min(
      Number(asked['last'] ?? Infinity),
      first + model.pageSize - 1,
      metrics.length,
      cursors.at(-1)!.last,
    )
    const { lines, last } = read(first, end, (id) => cursors.find((each) => id <= each.last)!.since)
    return xml(
      'iq',
      { type: 'result' },
      xml(
        'command',
        {
          xmlns: 'http://jabber.org/protocol/commands',
          node: REGISTRY_NODE,
          status: 'completed',
        },
        xml(
          'statistics',
          {
            xmlns: REGISTRY_NODE,
            epoch: `${life}${epoch}`,
            change: String(change),
            size: String(metrics.length),
            last: String(Math.max(last, first - 1)),
          },
          xml('lines', {}, lines),
        ),
      ),
    )
  }

  generations = []
  return model
}
