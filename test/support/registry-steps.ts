type Type = 'counter' | 'gauge' | 'histogram' | 'summary'

/** Several steps that change Prosody's registry before the exporters collect. */
export type Batch = {
  /** Lua code for Prosody that calls functions of mod_test_registry. */
  readonly lua: string
  /** The number of steps. */
  readonly count: number
  /** The component domains on which mod_adhoc_statistics is loaded after the batch. */
  readonly loaded: readonly string[]
  /** The domains of the exporters that collect after the batch, in this order. */
  readonly readers: readonly string[]
  /** Whether the test should compare the exporters with mod_http_openmetrics after the batch. */
  readonly shouldCompare: boolean
}

const TYPES = ['counter', 'gauge', 'histogram', 'summary'] as const
const LABELS = [[], ['host'], ['kind'], ['host', 'kind'], ['host', 'kind', 'shard']] as const
const BUCKETS = [[1], [0.1, 1, 10], [10, 0.5, 2], [5, 50, 500, 5000]]
const LABEL_VALUES = [
  ...['a.example', 'b.example', 'c2s', '', ' ', 'é', '😀', 'x{},="', 'say "hi"', 'back\\slash'],
  ...['\\n', 'new\nline', 'tab\t', '\r', '\\"', '\u{1}\u{7f}', 'end\\'],
]
const GAUGE_VALUES = ['0/0', '1/0', '-1/0', '0', '1', '-3.5', '0.1', '1e308', '2^53+1', '1/3']
const RELOADED = ['smacks', 'csi_simple', 'mam', 'test_families']

type FamilyShape = { readonly type: Type; readonly labels: readonly string[] }

/**
 * Creates random steps that change Prosody's registry. The same seed always results in the same steps. The names of the
 * families are chosen so that no two families clash in any exposition format. Each value is valid for the metric type.
 */
export function registrySteps(
  seed: number,
  options: { readonly domains: readonly string[]; readonly hosts: readonly string[] },
): {
  /** Returns a batch of at most `most` steps. */
  next(most: number): Batch
  /**
   * Returns Lua code for `count` separate calls. The test runs them while the exporters collect, so that values change
   * between two pages of a collection.
   */
  many(count: number): string[]
  /** Returns Lua code that loads mod_adhoc_statistics on each domain where it is not loaded. */
  loadAll(): string
} {
  const random = createRandom(seed)
  const families = createFamilySteps(random)
  const modules = createModuleSteps(random, options.domains)
  let isFirst = true

  function step(): string {
    const kind = random.next()
    if (kind < 0.7) return families.move()
    if (kind < 0.75) return families.moveMany()
    if (kind < 0.82) return families.declare(`prosody_test_step_${random.below(12)}`)
    if (kind < 0.86) return families.declareAgain()
    if (kind < 0.89) return families.moveReplaced()
    if (kind < 0.95) return families.reload(options.hosts)
    return modules.toggle() ?? families.move()
  }

  return {
    next(most) {
      const count = Math.min(most, 1 + random.below(10))
      const lines = Array.from({ length: count }, step)
      if (isFirst) lines.unshift('T.move_many(1, 1, 1)')
      isFirst = false
      return {
        lua: [HEADER, ...lines].join('\n'),
        count,
        loaded: modules.loaded(),
        readers: options.domains.filter(() => random.next() < 0.5).sort(() => random.next() - 0.5),
        shouldCompare: random.next() < 0.2,
      }
    },
    many: (count) => Array.from({ length: count }, () => [HEADER, families.moveMany()].join('\n')),
    loadAll: () => [HEADER, ...modules.loadMissing()].join('\n'),
  }
}

/** Creates functions that return the Lua code of a step. These steps declare families and change their values. */
function createFamilySteps({ next, below, pick }: Random) {
  const families = new Map<string, FamilyShape>()
  let revision = 0

  function declaration(name: string, { type, labels }: FamilyShape, help: string): string {
    const buckets = type === 'histogram' ? `{ ${pick(BUCKETS).join(', ')} }` : 'nil'
    return `T.declare("${type}", "${name}", ${lua(help)}, ${luaList(labels)}, ${buckets})`
  }

  function declare(name: string): string {
    const family = { type: pick(TYPES), labels: pick(LABELS) }
    families.set(name, family)
    return declaration(name, family, `Family ${name}, revision ${revision++}`)
  }

  function move(): string {
    if (families.size === 0) return declare('prosody_test_step_0')
    const [name, { type, labels }] = pick([...families])
    const values = luaList(labels.map(() => pick(LABEL_VALUES)))
    const [method, value] = chooseChange(type)
    return `T.move("${name}", ${values}, "${method}", ${value})`
  }

  function chooseChange(type: Type): [method: string, value: string] {
    switch (type) {
      case 'gauge':
        return next() < 0.5 ? ['set', pick(GAUGE_VALUES)] : ['add', `${next() * 100 - 50}`]
      case 'counter':
        // Some steps set the counter to a lower value or reset it to 0.
        if (next() < 0.15) return ['set', `${below(3)}`]
        return next() < 0.1 ? ['reset', 'nil'] : ['add', next() < 0.5 ? '1' : `${next()}`]
      case 'histogram':
      case 'summary':
        return next() < 0.15 ? ['reset', 'nil'] : ['sample', `${next() * 10 ** below(5)}`]
    }
  }

  return {
    declare,
    move,
    moveMany: () => `T.move_many(${1 + below(2500)}, ${1 + below(100)}, ${next()})`,
    moveReplaced: () => `T.move_replaced("${revision++}")`,

    /** Declares an existing family again with the same type and labels. Prosody does not replace such a family. */
    declareAgain(): string {
      if (families.size === 0) return move()
      const [name, family] = pick([...families])
      return declaration(name, family, `Said again, revision ${revision++}`)
    },

    /** Reloads a module that has metrics. If it is mod_test_families, it has other families after the reload. */
    reload(hosts: readonly string[]): string {
      const name = pick(RELOADED)
      const reloading = `assert(M.reload("${pick(hosts)}", "${name}"))`
      if (name !== 'test_families') return reloading
      const specs = Array.from({ length: 1 + below(3) }, () => {
        const labels = pick(LABELS).filter((label) => label !== 'host')
        const values = labels.map(() => pick(LABEL_VALUES))
        const fields = [
          `type = "${pick(TYPES)}"`,
          `name = "family_${below(5)}"`,
          `help = "Of a module, revision ${revision++}"`,
          `labels = ${luaList(labels)}`,
          `values = ${luaList(values)}`,
          `value = ${below(20)}`,
        ]
        return `{ ${fields.join('; ')} }`
      })
      return `prosody.test_families = { ${specs.join(', ')} }; ${reloading}`
    },
  }
}

/** Creates functions that return the Lua code of a step. These steps load, reload or unload mod_adhoc_statistics. */
function createModuleSteps({ next, pick }: Random, domains: readonly string[]) {
  const loaded = new Set(domains)
  const load = (domain: string) => `assert(M.load("${domain}", "adhoc_statistics"))`

  return {
    loaded: () => [...loaded],
    loadMissing: () => domains.filter((domain) => !loaded.has(domain)).map(load),

    /**
     * Returns a step that loads, reloads or unloads the module on a random domain. The result is undefined if the
     * step would unload the module from the only domain that has it.
     */
    toggle(): string | undefined {
      const domain = pick(domains)
      if (!loaded.has(domain)) {
        loaded.add(domain)
        return load(domain)
      }
      if (next() < 0.3) return `assert(M.reload("${domain}", "adhoc_statistics"))`
      if (loaded.size === 1) return undefined
      loaded.delete(domain)
      return `assert(M.unload("${domain}", "adhoc_statistics"))`
    },
  }
}

const HEADER = 'local T, M = prosody.test_registry, require "core.modulemanager"'

function luaList(values: readonly string[]): string {
  return `{ ${values.map(lua).join(', ')} }`
}

/** Returns a Lua string literal for any text. */
function lua(text: string): string {
  const bytes = Array.from(Buffer.from(text), (byte) => `\\${String(byte).padStart(3, '0')}`)
  return `"${bytes.join('')}"`
}

type Random = ReturnType<typeof createRandom>

function createRandom(seed: number) {
  const next = mulberry32(seed)
  const below = (end: number) => Math.floor(next() * end)
  return { next, below, pick: <T>(from: readonly T[]): T => from[below(from.length)]! }
}

/**
 * Creates a generator of pseudorandom numbers from 0 to below 1. The same seed always results in the same numbers. The
 * algorithm is Mulberry32 by Tommy Ettinger.
 */
function mulberry32(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296
  }
}
