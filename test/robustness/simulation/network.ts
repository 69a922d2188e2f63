/** Sockets in memory for the XMPP library, and a network between them and a server that fails as told. */

import { EventEmitter } from 'node:events'
import { createRequire } from 'node:module'
import type { Random } from '../../support/random.js'
import type { Time } from './time.js'

export type Mode =
  'well' | 'stall' | 'drop up' | 'drop down' | 'slow' | 'refuse' | 'silent' | 'black hole'

/** The server's end of a connection. */
export type Peer = {
  /** What the client wrote, a write each. */
  onData: (text: string) => void
  send(bytes: string | Buffer): void
  /** By RST, or by FIN. */
  end(kind: 'reset' | 'close'): void
}

export type Network = {
  mode: Mode
  /** Error code of a dial that is refused. */
  refusal: string
  /** Dials so far. */
  dials(): number
  /** Connections that the client has not destroyed. */
  open(): number
  endAll(kind: 'reset' | 'close'): void
  /** Gives the library its own sockets back. */
  end(): void
}

const SLOW_MS = 400

export function createNetwork(time: Time, random: Random, accept: (peer: Peer) => void): Network {
  const sockets = new Set<FakeSocket>()
  let dials = 0
  const network: Network = {
    mode: 'well',
    refusal: 'ECONNREFUSED',
    dials: () => dials,
    open: () => sockets.size,
    endAll(kind) {
      for (const socket of [...sockets]) socket.peer.end(kind)
    },
    end: () => (tcp.prototype.Socket = original),
  }

  /** Carries something in order, when the network lets it. */
  function createWay(lost: Mode): (deliver: () => void) => void {
    const waiting: (() => void)[] = []
    let isBusy = false
    function carry(): void {
      if (isBusy || waiting.length === 0) return
      isBusy = true
      const slow = network.mode === 'slow' ? random.below(SLOW_MS) : 0
      time.after(1 + random.below(4) + slow, () => {
        isBusy = false
        // What is held up is tried again.
        if (network.mode !== 'stall') waiting.shift()?.()
        carry()
      })
    }
    return (deliver) => {
      if (network.mode === lost) return
      waiting.push(deliver)
      carry()
    }
  }

  class FakeSocket extends EventEmitter {
    writableLength = 0
    destroyed = false
    readonly up = createWay('drop up')
    readonly down = createWay('drop down')
    readonly peer: Peer = {
      onData: () => undefined,
      send: (bytes) => {
        this.down(() => {
          this.hear('data', Buffer.from(bytes))
        })
      },
      end: (kind) => {
        const signal = () => {
          if (kind === 'close') this.hear('end')
          else this.fail('ECONNRESET')
        }
        if (kind === 'reset') time.after(1, signal)
        else this.down(signal)
      },
    }

    connect(): void {
      sockets.add(this)
      dials++
      const dial = (): void => {
        if (this.destroyed) return
        if (network.mode === 'refuse') this.fail(network.refusal)
        // This dial is lost for good, as is a question to a name server that dies.
        else if (network.mode === 'black hole') return
        // As TCP does, which sends its SYN again.
        else if (network.mode === 'stall') time.after(100, dial)
        else {
          if (network.mode !== 'silent') accept(this.peer)
          this.hear('connect')
        }
      }
      time.after(1, dial)
    }
    write(text: string, done?: (error?: Error) => void): boolean {
      this.up(() => {
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
      sockets.delete(this)
      this.peer.onData('')
      queueMicrotask(() => this.emit('close', false))
    }
    setNoDelay(): void {}
    setKeepAlive(): void {}

    private hear(event: string, ...args: unknown[]): void {
      if (!this.destroyed) this.emit(event, ...args)
    }
    private fail(code: string): void {
      if (this.destroyed) return
      this.emit('error', Object.assign(new Error(code), { code }))
      this.destroy()
    }
  }

  // COMPAT @xmpp/connection-tcp 0.13: the class of its sockets is a property of the prototype.
  const require = createRequire(import.meta.url)
  const tcp = require('@xmpp/connection-tcp') as { prototype: { Socket: unknown } }
  const original = tcp.prototype.Socket
  tcp.prototype.Socket = FakeSocket
  return network
}
