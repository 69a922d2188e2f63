// A model of mod_adhoc_statistics that runs in memory. It answers requests as the README of mod_adhoc_statistics
// specifies. Tests use it for sequences of events that would take too long with a real server.

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
  /** Sets the value of a series. A new series is created. The number of the first family is 0. */
  set(family: number, label: string, value: number): void
  /** Adds `count` new series to a family. */
  add(family: number, count: number): void
  /** Changes the value of the series with the id `index + 1`. */
  move(index: number, value: number): void
  /** Replaces a family by one without series, as the reload of a Prosody module can do. This starts a new epoch. */
  replace(family: number): void
  /** Returns the values that a complete collection must have. The keys have the form `family{label}`. */
  readonly truth: () => Map<string, number>
  /** Creates a connection to the model. The function `chooseFate` decides for each request whether it is answered. */
  connect(chooseFate: () => Fate): Pick<Connection, 'request' | 'domain'>
  /** The maximum number of series ids in one reply. A test can change it between two requests. */
  pageSize: number
  /** Makes the model not report the next changed value. The audit of the collector must find this fault. */
  forgetNextChange(): void
}

export type Fate = 'answered' | 'request lost' | 'answer lost'

/** @param run The first part of each epoch. Each start of a simulated server needs another text here. */
export function createRegistryModel(run = ''): RegistryModel {
  const index = createIndex()
  const generations: number[] = []
  let epochNumber = 1
  const nameOf = (family: number) => `test_${family}_${generations[family] ?? 0}`

  function answer(command: Element): Element {
    const epoch = `${run}${epochNumber}`
    const { first, last, sinceOf } = readRequest(command, epoch)
    const end = Math.min(last, first + model.pageSize - 1, index.size())
    const { lines, change } = index.read(first, end, sinceOf, nameOf)
    return createReply(
      {
        xmlns: REGISTRY_NODE,
        epoch,
        change: String(change),
        size: String(index.size()),
        last: String(Math.max(end, first - 1)),
      },
      lines,
    )
  }

  const model: RegistryModel = {
    pageSize: 3,
    set: index.set,
    add: index.add,
    move: index.move,
    replace(family) {
      index.removeFamily(family)
      generations[family] = (generations[family] ?? 0) + 1
      epochNumber++
    },
    truth: () =>
      new Map(
        index.all().map(({ family, label, value }) => [`${nameOf(family)}{${label}}`, value]),
      ),
    forgetNextChange: index.forgetNextChange,
    connect: (chooseFate) => ({
      domain: 'stats.example',
      request(_type, child) {
        const fate = chooseFate()
        const lose = () => Promise.reject(new TimeoutError('no reply'))
        if (fate === 'request lost') return lose()
        const reply = answer(child)
        return fate === 'answer lost' ? lose() : Promise.resolve(reply)
      },
    }),
  }
  return model
}

/** Stores the metrics by id. For each metric, it stores the change numbers of its definition and of its last change. */
function createIndex() {
  let metrics: Metric[] = []
  let change = 0
  let isForgetting = false

  function add(family: number, label: string, value: number): void {
    metrics.push({ family, label, value, seen: undefined, changed: 0, defined: 0 })
  }

  /** Updates the change number of the metric if its value differs from the value at the previous reply about it. */
  function detectChange(metric: Metric): void {
    if (Object.is(metric.value, metric.seen)) return
    if (metric.seen === undefined) metric.defined = change
    metric.seen = metric.value
    if (!isForgetting || metric.defined === change) metric.changed = change
    else isForgetting = false
  }

  return {
    all: () => metrics,
    size: () => metrics.length,
    set: (family: number, label: string, value: number): void => {
      const known = metrics.find((each) => each.family === family && each.label === label)
      if (known) known.value = value
      else add(family, label, value)
    },
    add: (family: number, count: number): void => {
      for (; count > 0; count--) add(family, `n${metrics.length}`, 1)
    },
    move: (index: number, value: number): void => {
      metrics[index]!.value = value
    },
    removeFamily(family: number): void {
      metrics = metrics.filter((each) => each.family !== family)
    },
    forgetNextChange: (): void => {
      isForgetting = true
    },

    /** Returns the lines of a reply about the ids `first … last`, and the change number of the reply. */
    read(
      first: number,
      last: number,
      sinceOf: (id: number) => number,
      nameOf: (family: number) => string,
    ): { lines: string; change: number } {
      change++
      let lines = ''
      const defined = new Set<number>()
      for (let id = first; id <= last; id++) {
        const metric = metrics[id - 1]!
        const { family, label, value } = metric
        detectChange(metric)
        const since = sinceOf(id)
        if (metric.changed <= since) continue
        if (metric.defined <= since) {
          lines += `${id}\t${value}\n`
          continue
        }
        if (!defined.has(family)) lines += `F\t${family}\tgauge\t${nameOf(family)}\t\t\t1\tlabel\n`
        defined.add(family)
        lines += `S\t${id}\t${family}\t\t${label}\t${value}\n`
      }
      return { lines, change }
    },
  }
}

/** Reads a request. `sinceOf` returns the change number up to which the exporter has read the series with an id. */
function readRequest(command: Element, epoch: string) {
  const { attrs } = command.getChild('statistics', REGISTRY_NODE)!
  const isKnown = attrs['epoch'] === epoch
  const cursors = (isKnown ? (attrs['since'] ?? '0') : '0').split(' ').map((cursor) => {
    const [since, last = Infinity] = cursor.split(':').map(Number)
    return { since: since!, last }
  })
  return {
    first: Number(attrs['first'] ?? 1),
    last: Math.min(Number(attrs['last'] ?? Infinity), cursors.at(-1)!.last),
    sinceOf: (id: number) => cursors.find(({ last }) => id <= last)!.since,
  }
}

function createReply(attrs: Record<string, string>, lines: string): Element {
  const command = {
    xmlns: 'http://jabber.org/protocol/commands',
    node: REGISTRY_NODE,
    status: 'completed',
  }
  const statistics = xml('statistics', attrs, xml('lines', {}, lines))
  return xml('iq', { type: 'result' }, xml('command', command, statistics))
}
