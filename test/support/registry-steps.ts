/** Random steps that change Prosody's registry, as Lua text for mod_test_registry. */

type Type = 'counter' | 'gauge' | 'histogram' | 'summary'

export type Batch = {
  readonly lua: string
  readonly count: number
  /** Domains on which the companion module is loaded afterwards. */
  readonly loaded: readonly string[]
  /** Who reads afterwards, in this order. */
  readonly readers: readonly string[]
  /** Whether all is to be compared. */
  readonly compared: boolean
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

/**
 * Steps that are the same for the same seed. All families are of names of their own, so that no two
 * clash in any format; values are such as each type may have.
 */
export function registrySteps(
  seed: number,
  options: { readonly domains: readonly string[]; readonly hosts: readonly string[] },
): {
  next(most: number): Batch
  /** Steps for many short calls, while the exporters read: they find values moved between two pages. */
  many(count: number): string[]
  /** Loads the companion module where it is not loaded. */
  loadAll(): string
} {
  const random = mulberry32(seed)
  const below = (end: number) => Math.floor(random() * end)
  const pick = <T>(from: readonly T[]): T => from[below(from.length)]!
  const families = new Map<string, { type: Type; labels: readonly string[] }>()
  const loaded = new Set(options.domains)
  let revision = 0
  let isFirst = true

  function declare(name: string): string {
    const family = { type: pick(TYPES), labels: pick(LABELS) }
    families.set(name, family)
    return declaration(name, family, `Family ${name}, revision ${revision++}`)
  }

  function declaration(
    name: string,
    { type, labels }: { type: Type; labels: readonly string[] },
    help: string,
  ): string {
    const buckets = type === 'histogram' ? `{ ${pick(BUCKETS).join(', ')} }` : 'nil'
    return `T.declare("${type}", "${name}", ${lua(help)}, ${luaList(labels)}, ${buckets})`
  }

  function move(): string {
    if (families.size === 0) return declare('prosody_test_step_0')
    const [name, { type, labels }] = pick([...families])
    const values = luaList(labels.map(() => pick(LABEL_VALUES)))
    const [method, value] = change(type)
    return `T.move("${name}", ${values}, "${method}", ${value})`
  }

  function change(type: Type): [string, string] {
    switch (type) {
      case 'gauge':
        return random() < 0.5 ? ['set', pick(GAUGE_VALUES)] : ['add', `${random() * 100 - 50}`]
      case 'counter':
        // Set back now and then, to less and to nothing.
        if (random() < 0.15) return ['set', `${below(3)}`]
        return random() < 0.1 ? ['reset', 'nil'] : ['add', random() < 0.5 ? '1' : `${random()}`]
      case 'histogram':
      case 'summary':
        return random() < 0.15 ? ['reset', 'nil'] : ['sample', `${random() * 10 ** below(5)}`]
    }
  }

  function moveMany(): string {
    return `T.move_many(${1 + below(2500)}, ${1 + below(100)}, ${random()})`
  }

  /** Prosody keeps the family that it has when another one of the same type and labels comes. */
  function declareAgain(): string {
    if (families.size === 0) return move()
    const [name, family] = pick([...families])
    return declaration(name, family, `Said again, revision ${revision++}`)
  }

  function reload(): string {
    const name = pick(RELOADED)
    const reloading = `assert(M.reload("${pick(options.hosts)}", "${name}"))`
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
  }

  function toggle(): string {
    const domain = pick(options.domains)
    if (!loaded.has(domain)) {
      loaded.add(domain)
      return `assert(M.load("${domain}", "adhoc_statistics"))`
    }
    if (random() < 0.3) return `assert(M.reload("${domain}", "adhoc_statistics"))`
    // One is always there to be compared.
    if (loaded.size === 1) return move()
    loaded.delete(domain)
    return `assert(M.unload("${domain}", "adhoc_statistics"))`
  }

  function step(): string {
    const kind = random()
    if (kind < 0.7) return move()
    if (kind < 0.75) return moveMany()
    if (kind < 0.82) return declare(`prosody_test_step_${below(12)}`)
    if (kind < 0.86) return declareAgain()
    if (kind < 0.89) return `T.move_replaced("${revision++}")`
    if (kind < 0.95) return reload()
    return toggle()
  }

  return {
    next(most) {
      const count = Math.min(most, 1 + below(10))
      const lines = Array.from({ length: count }, step)
      if (isFirst) lines.unshift('T.move_many(1, 1, 1)')
      isFirst = false
      return {
        lua: [HEADER, ...lines].join('\n'),
        count,
        loaded: [...loaded],
        readers: options.domains.filter(() => random() < 0.5).sort(() => random() - 0.5),
        compared: random() < 0.2,
      }
    },
    many: (count) => Array.from({ length: count }, () => [HEADER, moveMany()].join('\n')),
    loadAll: () =>
      [
        HEADER,
        ...options.domains
          .filter((domain) => !loaded.has(domain))
          .map((domain) => `assert(M.load("${domain}", "adhoc_statistics"))`),
      ].join('\n'),
  }
}

const HEADER = 'local T, M = prosody.test_registry, require "core.modulemanager"'

function luaList(values: readonly string[]): string {
  return `{ ${values.map(lua).join(', ')} }`
}

/** Any text as a Lua string. */
function lua(text: string): string {
  const bytes = Array.from(Buffer.from(text), (byte) => `\\${String(byte).padStart(3, '0')}`)
  return `"${bytes.join('')}"`
}

/** Tommy Ettinger's Mulberry32: numbers from 0 to below 1 that depend on the seed alone. */
function mulberry32(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296
  }
}
