import { CollectorError } from './failure.js'

// About what one takes beside its text and its values, in bytes.
const SERIES_BYTES = 100
const FAMILY_BYTES = 1000
const VALUE_BYTES = 8

/** For each of `limits.series`, what it takes with 300 characters of labels. */
const BYTES_A_SERIES = 400
/** A low limit is on what is served, and may leave out all but the small families of a large registry. */
const LEAST_SERIES = 100_000

/** How much of one registry is kept, so that no server fills our memory. */
export type Room = {
  /** @throws {CollectorError} There is no room for so many series. */
  readonly expect: (series: number) => void
  /** @throws {CollectorError} That was too much. */
  takeFamily(characters: number): void
  takeSeries(characters: number, values: number): void
}

/** @param limit `limits.series`, or Infinity. */
export function createRoom(limit: number): Room {
  let leftBytes = Math.max(limit, LEAST_SERIES) * BYTES_A_SERIES
  let series = 0

  function take(bytes: number): void {
    leftBytes -= bytes
    if (leftBytes < 0) throw tooMany(`${series} series with all their text`)
  }

  function tooMany(what: string): CollectorError {
    return new CollectorError(
      'too_many',
      `Prosody has ${what}, more than there is room for with limits.series ${limit}: raise that if they are meant`,
    )
  }

  return {
    expect(count) {
      if ((count - series) * SERIES_BYTES > leftBytes) throw tooMany(`${count} series`)
    },
    takeFamily(characters) {
      take(FAMILY_BYTES + characters)
    },
    takeSeries(characters, values) {
      series++
      take(SERIES_BYTES + characters + values * VALUE_BYTES)
    },
  }
}
