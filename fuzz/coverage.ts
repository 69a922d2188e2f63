import { Session, type Profiler } from 'node:inspector'

export type Coverage = {
  /** Places of our code that ran since the last call and never before. */
  take(): string[]
  /** How much is known so far, for `back`. */
  mark(): number
  /** Forgets what came after a mark: it counts as new again. */
  back(mark: number): void
  stop(): void
}

/** Which blocks of our own code, and of the XML parser, ran: V8's own counters. */
export function startCoverage(): Coverage {
  const session = new Session()
  session.connect()
  const post = (method: string, params: object = {}): unknown => {
    let result: unknown
    // The callback is called at once.
    session.post(method, params, (error, answer) => {
      if (error) throw error
      result = answer
    })
    return result
  }
  post('Profiler.enable')
  post('Profiler.startPreciseCoverage', { callCount: true, detailed: true })
  const seen = new Set<string>()
  return {
    take() {
      const fresh: string[] = []
      const { result } = post(
        'Profiler.takePreciseCoverage',
      ) as Profiler.TakePreciseCoverageReturnType
      for (const { url, functions } of result) {
        if (!/\/src\/|\/ltx\//.test(url)) continue
        for (const { ranges } of functions) {
          for (const { startOffset, endOffset, count } of ranges) {
            const place = `${url} ${startOffset} ${endOffset}`
            if (count === 0 || seen.has(place)) continue
            seen.add(place)
            fresh.push(place)
          }
        }
      }
      return fresh
    },
    stop() {
      session.disconnect()
    },
    mark: () => seen.size,
    back(mark) {
      for (const place of [...seen].slice(mark)) seen.delete(place)
    },
  }
}
