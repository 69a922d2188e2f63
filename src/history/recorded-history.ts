import type { Log } from '../log/log.js'
import { settleWithin } from '../scrape/settle-within.js'
import { describeFileError } from './describe-file-error.js'
import { SPAN_MS } from './file-layout.js'
import type { TaskQueue } from '../task-queue.js'
import type { History } from './history.js'
import { openHistoryFile, type HistoryFile } from './history-file.js'
import { findMemoryBase, computeMemoryGrowth, GROWTH_MS, type MemoryBase } from './memory-growth.js'
import { createRangeData, RANGES, type Range } from './range.js'
import { mergeSpans, toSpans, type Span } from './span.js'
import { selectUntil, type Point } from './tracks.js'

/**
 * Adds a file to a history in memory, so that it has the values of two years, also after a restart.
 *
 * @param memory The history whose points have not been stored yet. Its methods that do not read the file are used as
 *   they are.
 */
export function recordHistory(
  memory: History,
  options: {
    readonly path: string
    readonly server: string
    /** The queue of all history files. */
    readonly queue: TaskQueue
    readonly log: Log
    /** Returns the time in milliseconds since 1970. */
    readonly now?: () => number
  },
): History {
  const { path, log, now = Date.now } = options
  const { maxGapMs } = memory
  let opened: HistoryFile | undefined
  let storedCount = 0
  let base: MemoryBase | undefined
  let baseStartMs: number | undefined
  let isFailing = false

  const withFile = <T>(use: (file: HistoryFile) => Promise<T>): Promise<T> =>
    options.queue(async () => {
      // Another program can have deleted or changed the file since the last use.
      if (!(await opened?.isValid())) opened = undefined
      opened ??= await openHistoryFile(path, { ...options, maxGapMs, nowMs: now() })
      return use(opened)
    })

  async function store(file: HistoryFile): Promise<void> {
    const points = memory.getPoints(storedCount)
    const count = memory.countPoints()
    for (const part of splitAtJumps(points)) await file.append(part)
    storedCount = count
    baseStartMs = memory.getLatest()?.startedAtMs
    base = findMemoryBase(await file.readSpans('minutes', now() - GROWTH_MS, now()), baseStartMs)
  }

  /** Reads what the file and the memory know about a range. */
  async function readSpans(
    file: HistoryFile,
    range: Range,
  ): Promise<{ spans: readonly Span[]; spanMs?: number }> {
    const toMs = now()
    const fromMs = toMs - range.durationMs
    const unstored = selectUntil(memory.getPoints(storedCount), toMs)
    const tier = chooseTier(range)
    if (tier === 'points') {
      const stored = await file.readPoints(fromMs, toMs)
      return { spans: toSpans(selectUntil([...stored, ...unstored], toMs), maxGapMs) }
    }
    const spanMs = SPAN_MS[tier]
    const stored = await file.readSpans(tier, fromMs, toMs)
    // The last stored span and the first unstored points can be of the same period.
    return { spans: mergeSpans([...stored, ...toSpans(unstored, maxGapMs)], spanMs), spanMs }
  }

  return {
    ...memory,
    listRanges: () => RANGES,
    readRange: (range) =>
      settleWithin(
        READ_TIMEOUT_MS,
        withFile(async (file) => {
          const { spans, spanMs } = await readSpans(file, range)
          const limits = { nowMs: now(), startMs: file.createdAtMs, maxGapMs, spanMs }
          return createRangeData(range, spans, limits)
        }),
        failLateRead,
      ).catch(() => memory.readRange(range)),
    getMemoryGrowth: () => {
      const latest = memory.getLatest()
      // After a restart of the server, its memory is compared with nothing until the next call of `flush`.
      if (!latest || latest.startedAtMs !== baseStartMs) return undefined
      return computeMemoryGrowth(base, latest)
    },
    async flush() {
      try {
        await withFile(store)
        if (isFailing) log.info(`the history file ${path} is writable again`)
        isFailing = false
      } catch (error) {
        if (!isFailing) log.warn(describeFailure(path, error))
        isFailing = true
      }
    },
  }
}

/** The page waits so long for the disk. A read takes a few milliseconds. */
const READ_TIMEOUT_MS = 10_000

const failLateRead = () => {
  throw new Error('the disk did not answer in time')
}

const describeFailure = (path: string, error: unknown) =>
  `cannot write the history file ${path}: ${describeFileError(error)}. Until it can, the page forgets new values after ten minutes; retrying every 5 minutes`

const MAX_JUMP_MS = 3_600_000

/** Splits points where the clock was set, so that the times in each part increase. */
function splitAtJumps(points: readonly Point[]): Point[][] {
  const parts: Point[][] = []
  for (const point of points) {
    const stepMs = point.atMs - (parts.at(-1)?.at(-1)?.atMs ?? Infinity)
    if (stepMs >= 0 && stepMs <= MAX_JUMP_MS) parts.at(-1)!.push(point)
    else parts.push([point])
  }
  return parts
}

/** Chooses the coarsest values of the file that are fine enough for the charts of a range. */
function chooseTier({ stepMs }: Range): 'points' | keyof typeof SPAN_MS {
  if (stepMs < SPAN_MS.minutes) return 'points'
  return stepMs < 12 * SPAN_MS.hours ? 'minutes' : 'hours'
}
