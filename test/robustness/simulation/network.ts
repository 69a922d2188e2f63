/** Simulates the network between the XMPP library and a server, with sockets that exist only in memory. */

import { EventEmitter } from 'node:events'
import { createRequire } from 'node:module'
import type { Random } from '../../support/random.js'
import type { Time } from './time.js'

export type Mode =
  'well' | 'stall' | 'drop up' | 'drop down' | 'slow' | 'refuse' | 'silent' | 'black hole'

/** The server's end of a connection. */
export type Peer = {
  /** The network calls this function with the text of each write of the client. */
  onData: (text: string) => void
  send(bytes: string | Buffer): void
  /** Ends the connection by RST (`reset`) or by FIN (`close`). */
  end(kind: 'reset' | 'close'): void
}

export type Network = {
  mode: Mode
  /** The error code of connection attempts in the mode `refuse`. */
  refusal: string
  /** Returns the number of connection attempts of the client so far. */
  dials(): number
  /** Returns the number of sockets that the client has not destroyed. */
  open(): number
  endAll(kind: 'reset' | 'close'): void
  /** Restores the real socket class of the XMPP library. */
  end(): void
}

/** The maximum additional delay of bytes while the network has the mode `slow`. */
const SLOW_MS = 400
/** While the network has the mode `stall`, a connection attempt is repeated after 100 ms, as TCP repeats its SYN. */
const SYN_RETRY_MS = 100

export function createNetwork(time: Time, random: Random, accept: (peer: Peer) => void): Network {
  const network = new SimulatedNetwork(time, random, accept)
  // COMPAT @xmpp/connection-tcp 0.13: its socket class is a property of the prototype.
  const require = createRequire(import.meta.url)
  const tcp = require('@xmpp/connection-tcp') as { prototype: { Socket: unknown } }
  const original = tcp.prototype.Socket
  tcp.prototype.Socket = class extends SimulatedSocket {
    constructor() {
      super(network)
    }
  }
  network.end = () => {
    tcp.prototype.Socket = original
  }
  return network
}

class SimulatedNetwork implements Network {
  mode: Mode = 'well'
  refusal = 'ECONNREFUSED'
  readonly time: Time
  readonly accept: (peer: Peer) => void
  private readonly random: Random
  private readonly sockets = new Set<SimulatedSocket>()
  private dialCount = 0

  constructor(time: Time, random: Random, accept: (peer: Peer) => void) {
    this.time = time
    this.random = random
    this.accept = accept
  }

  end: () => void = () => undefined

  dials(): number {
    return this.dialCount
  }

  open(): number {
    return this.sockets.size
  }

  endAll(kind: 'reset' | 'close'): void {
    for (const socket of [...this.sockets]) socket.peer.end(kind)
  }

  addDial(socket: SimulatedSocket): void {
    this.sockets.add(socket)
    this.dialCount++
  }

  delete(socket: SimulatedSocket): void {
    this.sockets.delete(socket)
  }

  delayMs(): number {
    const slow = this.mode === 'slow' ? this.random.below(SLOW_MS) : 0
    return 1 + this.random.below(4) + slow
  }
}

/** One direction of a connection. It delivers bytes in order, after the delay of the network. */
class Channel {
  private readonly network: SimulatedNetwork
  private readonly lossMode: Mode
  private readonly waiting: (() => void)[] = []
  private isBusy = false

  /** @param lossMode While the network has this mode, all bytes of this direction are lost. */
  constructor(network: SimulatedNetwork, lossMode: Mode) {
    this.network = network
    this.lossMode = lossMode
  }

  send(deliver: () => void): void {
    if (this.network.mode === this.lossMode) return
    this.waiting.push(deliver)
    this.deliverNext()
  }

  private deliverNext(): void {
    if (this.isBusy || this.waiting.length === 0) return
    this.isBusy = true
    this.network.time.after(this.network.delayMs(), () => {
      this.isBusy = false
      // While the network has the mode `stall`, the bytes stay in the queue, and the delivery is tried again.
      if (this.network.mode !== 'stall') this.waiting.shift()?.()
      this.deliverNext()
    })
  }
}

/** A socket in memory with the methods and events of `net.Socket` that the XMPP library uses. */
class SimulatedSocket extends EventEmitter {
  writableLength = 0
  destroyed = false
  readonly peer: Peer
  private readonly network: SimulatedNetwork
  private readonly up: Channel

  constructor(network: SimulatedNetwork) {
    super()
    this.network = network
    this.up = new Channel(network, 'drop up')
    const down = new Channel(network, 'drop down')
    this.peer = {
      onData: () => undefined,
      send: (bytes) => {
        down.send(() => {
          this.emitIfOpen('data', Buffer.from(bytes))
        })
      },
      end: (kind) => {
        if (kind === 'close') {
          down.send(() => {
            this.emitIfOpen('end')
          })
        } else {
          network.time.after(1, () => {
            this.fail('ECONNRESET')
          })
        }
      },
    }
  }

  connect(): void {
    this.network.addDial(this)
    this.dialLater(1)
  }

  write(text: string, done?: (error?: Error) => void): boolean {
    this.up.send(() => {
      this.peer.onData(text)
    })
    done?.()
    return true
  }

  end(): void {
    this.destroy()
  }

  destroy(): void {
    if (this.destroyed) return
    this.destroyed = true
    this.network.delete(this)
    this.peer.onData('')
    queueMicrotask(() => this.emit('close', false))
  }

  setNoDelay(): void {}
  setKeepAlive(): void {}

  private dialLater(ms: number): void {
    this.network.time.after(ms, () => {
      if (!this.destroyed) this.dial()
    })
  }

  private dial(): void {
    switch (this.network.mode) {
      case 'refuse':
        this.fail(this.network.refusal)
        break
      case 'black hole':
        // The connection attempt never succeeds or fails, like a query to a name server that does not respond.
        break
      case 'stall':
        this.dialLater(SYN_RETRY_MS)
        break
      case 'silent':
        this.emitIfOpen('connect')
        break
      default:
        this.network.accept(this.peer)
        this.emitIfOpen('connect')
    }
  }

  private emitIfOpen(event: string, ...args: unknown[]): void {
    if (!this.destroyed) this.emit(event, ...args)
  }

  private fail(code: string): void {
    if (this.destroyed) return
    this.emit('error', Object.assign(new Error(code), { code }))
    this.destroy()
  }
}
