/** Copies the bytes of one direction of a connection through the proxy, with the faults of that direction. */

import type { Socket } from 'node:net'
import type { Random } from '../../support/random.js'
import type { ByteFault } from './fault.js'

/** After 2,000 pieces, the fault `split` writes the other bytes in one piece, so that a scenario ends in time. */
const MAX_PIECES = 2000

const THROTTLE_INTERVAL_MS = 10

export type PipeOptions = {
  readonly from: Socket
  readonly to: Socket
  readonly random: Random
  readonly currentFault: () => ByteFault | undefined
  /** The pipe calls this function with the number of received bytes, after it has handled these bytes. */
  readonly onBytes: (bytes: number) => void
}

/** Copies bytes from one socket to another and applies the current fault to them. */
export class Pipe {
  private readonly options: PipeOptions
  private queue: Buffer[] = []
  /** Cancels the scheduled write. Undefined if no write is scheduled. */
  private cancelScheduled: (() => void) | undefined
  private hasEnded = false
  private pieces = 0

  constructor(options: PipeOptions) {
    this.options = options
    const { from, onBytes } = options
    from.on('data', (chunk) => {
      this.queue.push(chunk)
      this.pump()
      onBytes(chunk.length)
    })
    from.on('end', () => {
      this.hasEnded = true
      this.pump()
    })
    from.once('close', () => this.cancelScheduled?.())
  }

  /**
   * Writes the bytes that the current fault allows, immediately or later. The proxy must call this function when the
   * fault changes.
   */
  pump(): void {
    if (this.cancelScheduled || this.options.from.destroyed) return
    if (this.queue.length === 0) {
      if (this.hasEnded) this.options.to.end()
      return
    }
    const fault = this.options.currentFault()
    switch (fault?.kind) {
      case 'stall':
        break
      case 'drop':
        this.queue = []
        break
      case 'delay':
      case 'merge': {
        const bytes = this.takeAll()
        // Bytes that arrive before the timer fires wait in the queue, so that the order of the bytes stays the same.
        this.scheduleAfter(fault.ms, () => {
          this.write(bytes)
        })
        break
      }
      case 'throttle': {
        const bytes = Math.round((fault.bytesPerSecond * THROTTLE_INTERVAL_MS) / 1000)
        this.scheduleAfter(THROTTLE_INTERVAL_MS, () => {
          this.write(this.take(Math.max(1, bytes)))
        })
        break
      }
      case 'split':
        this.writePiece(fault.bytes)
        break
      case 'corrupt':
        this.write(this.corrupt(this.takeAll(), fault.every))
        this.pump()
        break
      default:
        this.write(this.takeAll())
        this.pump()
    }
  }

  /**
   * Writes one piece of the fault `split`. The next piece follows in a later turn of the event loop, because pieces
   * written in the same turn would arrive together.
   */
  private writePiece(bytes: number): void {
    if (++this.pieces > MAX_PIECES) {
      this.write(this.takeAll())
      this.pump()
      return
    }
    this.write(this.take(bytes))
    const immediate = setImmediate(() => {
      this.cancelScheduled = undefined
      this.pump()
    })
    this.cancelScheduled = () => {
      clearImmediate(immediate)
    }
  }

  private scheduleAfter(ms: number, work: () => void): void {
    const timer = setTimeout(() => {
      this.cancelScheduled = undefined
      work()
      this.pump()
    }, ms)
    this.cancelScheduled = () => {
      clearTimeout(timer)
    }
  }

  private corrupt(bytes: Buffer, every: number): Buffer {
    const { random } = this.options
    for (let at = random.below(every); at < bytes.length;) {
      bytes[at] = random.below(256)
      at += 1 + random.below(2 * every)
    }
    return bytes
  }

  private write(bytes: Buffer): void {
    const { to } = this.options
    if (bytes.length > 0 && to.writable) to.write(bytes)
  }

  private takeAll(): Buffer {
    const all = Buffer.concat(this.queue)
    this.queue = []
    return all
  }

  private take(bytes: number): Buffer {
    const all = this.takeAll()
    if (all.length > bytes) this.queue = [all.subarray(bytes)]
    return all.subarray(0, bytes)
  }
}
