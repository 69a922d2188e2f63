import { Session, type Profiler } from 'node:inspector'

export type Coverage = {
  /** Returns the code blocks that ran since the last call of `take`, and never before. */
  take(): string[]
  /** Returns the number of code blocks that have run so far. It is the argument for `forgetSince`. */
  mark(): number
  /** Forgets the code blocks that first ran after `mark`, so that `take` returns them when they run again. */
  forgetSince(mark: number): void
  stop(): void
}

/** Records which code blocks of `src/` and of the XML parser run, with V8's block coverage. */
export function startCoverage(): Coverage {
  const session = new Session()
  session.connect()
  const post = (method: string, params: object = {}): unknown => {
    let result: unknown
    // Session.post of node:inspector calls its callback before it returns.
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
    forgetSince(mark) {
      for (const place of [...seen].slice(mark)) seen.delete(place)
    },
  }
}
