/** Runs reads of the history for the page, each once for all viewers who need the same result. */
export type SharedReads<Result> = {
  /**
   * Returns the result of `read`. A recent or running read with the same source, name and version is shared.
   *
   * @param source The object that is read. A replaced object is read again.
   * @param version Changes when the result does.
   */
  get(source: object, name: string, version: string, read: () => Promise<Result>): Promise<Result>
}

// Results of many servers and ranges would take much memory: each is up to 100 KB.
const MAX_RESULTS = 8
// A result also becomes old without a new version, because a range ends now.
const MAX_AGE_MS = 60_000

export function createSharedReads<Result>({
  maxResults = MAX_RESULTS,
  maxAgeMs = MAX_AGE_MS,
  now = () => performance.now(),
} = {}): SharedReads<Result> {
  type Entry = {
    readonly source: object
    readonly key: string
    readonly startedAtMs: number
    readonly result: Promise<Result>
  }
  /** The newest entry is the last one. */
  let entries: readonly Entry[] = []

  return {
    get(source, name, version, read) {
      const key = `${name} ${version}`
      const old = entries.find((entry) => entry.source === source && entry.key === key)
      if (old && now() - old.startedAtMs < maxAgeMs) return old.result
      const entry: Entry = { source, key, startedAtMs: now(), result: read() }
      const others = entries.filter((each) => each !== old)
      entries = [...others, entry].slice(-maxResults)
      // A failed read is not shared with later requests.
      entry.result.catch(() => {
        entries = entries.filter((each) => each !== entry)
      })
      return entry.result
    },
  }
}
