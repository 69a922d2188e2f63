/** A TCP proxy on loopback that fails in every way that a network, or a peer, does. */

import { once } from 'node:events'
import { connect, createServer, type AddressInfo, type Socket } from 'node:net'
import type { Random } from '../../support/random.js'

/** `up`: from the client to the server. */
export type Direction = 'up' | 'down'

export type Fault =
  /** Bytes come so much later, in order. */
  | { readonly kind: 'delay'; readonly ms: number }
  /** In pieces of so many bytes, each a write of its own. */
  | { readonly kind: 'split'; readonly bytes: number }
  /** Held, and passed on together. */
  | { readonly kind: 'merge'; readonly ms: number }
  /** Nothing passes until it is over; then all of it does. */
  | { readonly kind: 'stall' }
  /** What comes meanwhile is lost, though TCP promised it. */
  | { readonly kind: 'drop' }
  /** One byte in so many is another one. */
  | { readonly kind: 'corrupt'; readonly every: number }
  | { readonly kind: 'throttle'; readonly bytesPerSecond: number }
  /** Every connection ends at once, by RST, by FIN, or in that direction alone. */
  | { readonly kind: 'reset' | 'close' | 'half-close' }
  /** New connections are reset; those that are go on. */
  | { readonly kind: 'refuse' }
  /** New connections are taken, and no more. */
  | { readonly kind: 'silent' }
  /** Each connection is made twice: the second says the same to the server and is heard by nobody. */
  | { readonly kind: 'duplicate' }

const MAX_PIECES = 2000

/** On bytes, in one direction. */
const ON_BYTES = new Set(['delay', 'split', 'merge', 'stall', 'drop', 'corrupt', 'throttle'])

export type Proxy = {
  readonly port: number
  /** Connections that are open towards the client. */
  connections(): number
  /** Begins a fault in that direction, in place of the one before; what needs none ignores it. */
  begin(fault: Fault, direction: Direction): void
  /** Ends all of them. */
  heal(): void
  /** Resolves when so many more bytes have come in that direction; at once for 0. */
  passed(direction: Direction, bytes: number): Promise<void>
  stop(): Promise<void>
}

type Pipe = { pump(): void; push(chunk: Buffer): void }

/**
 * Ends it by RST; by FIN where it has begun to end or to connect, for Node 20 then loses the handle,
 * and the process spins when it exits.
 */
function reset(socket: Socket | undefined): void {
  if (!socket || socket.connecting || socket.writableEnded) socket?.destroy()
  else socket.resetAndDestroy()
}

export async function startProxy(target: number, random: Random): Promise<Proxy> {
  const faults: Record<Direction, Fault | undefined> = { up: undefined, down: undefined }
  let onConnect: 'pass' | 'refuse' | 'silent' | 'duplicate' = 'pass'
  const clients = new Map<Socket, Socket | undefined>()
  const pipes = new Set<Pipe>()
  const extra = new Set<Socket>()
  const passed: Record<Direction, number> = { up: 0, down: 0 }
  const watchers = new Set<() => void>()

  function pipe(direction: Direction, from: Socket, to: Socket): Pipe {
    let held: Buffer[] = []
    /** Forgets what is to be written later, while there is something. */
    let forget: (() => void) | undefined
    let ended = false
    let pieces = 0
    const soon = (bytes: Buffer) => {
      write(bytes)
      const next = setImmediate(() => {
        forget = undefined
        pump()
      })
      forget = () => {
        clearImmediate(next)
      }
    }
    const later = (ms: number, work: () => void) => {
      const timer = setTimeout(() => {
        forget = undefined
        work()
        pump()
      }, ms)
      forget = () => {
        clearTimeout(timer)
      }
    }
    const write = (bytes: Buffer) => {
      if (bytes.length > 0 && to.writable) to.write(bytes)
    }
    const takeAll = () => {
      const all = Buffer.concat(held)
      held = []
      return all
    }
    const take = (bytes: number) => {
      const all = takeAll()
      if (all.length > bytes) held = [all.subarray(bytes)]
      return all.subarray(0, bytes)
    }
    function pump(): void {
      if (forget || from.destroyed) return
      const fault = faults[direction]
      if (held.length === 0) {
        if (ended) to.end()
        return
      }
      switch (fault?.kind) {
        case 'stall':
          return
        case 'drop':
          held = []
          return
        case 'delay':
        case 'merge': {
          const all = takeAll()
          // What comes meanwhile waits behind it.
          later(fault.ms, () => {
            write(all)
          })
          return
        }
        case 'throttle':
          later(10, () => {
            write(take(Math.max(1, Math.round(fault.bytesPerSecond / 100))))
          })
          return
        case 'split':
          // A turn of the event loop each, or they would arrive together; after so many it is shown.
          if (++pieces > MAX_PIECES) write(takeAll())
          else soon(take(fault.bytes))
          return
        case 'corrupt': {
          const all = Buffer.from(takeAll())
          for (let at = random.below(fault.every); at < all.length;) {
            all[at] = random.below(256)
            at += 1 + random.below(2 * fault.every)
          }
          write(all)
          break
        }
        default:
          write(takeAll())
      }
      pump()
    }
    from.on('data', (chunk) => {
      passed[direction] += chunk.length
      held.push(chunk)
      pump()
      for (const watcher of watchers) watcher()
    })
    from.on('end', () => {
      ended = true
      pump()
    })
    from.once('close', () => {
      forget?.()
    })
    return { pump, push: (chunk) => held.push(chunk) }
  }

  const server = createServer({ allowHalfOpen: true }, (client) => {
    client.on('error', () => undefined)
    clients.set(client, undefined)
    client.once('close', () => clients.delete(client))
    if (onConnect === 'refuse') {
      reset(client)
      return
    }
    if (onConnect === 'silent') {
      client.resume()
      return
    }
    client.setNoDelay(true)
    const upstream = connect({
      port: target,
      host: '127.0.0.1',
      allowHalfOpen: true,
      noDelay: true,
    })
    upstream.on('error', () => undefined)
    clients.set(client, upstream)
    if (onConnect === 'duplicate') {
      const second = connect({ port: target, host: '127.0.0.1' })
      second.on('error', () => undefined).resume()
      client.on('data', (chunk) => second.writable && second.write(chunk))
      client.once('close', () => second.destroy())
      extra.add(second)
    }
    const both = [pipe('up', client, upstream), pipe('down', upstream, client)]
    for (const each of both) pipes.add(each)
    const done = () => {
      client.destroy()
      upstream.destroy()
      for (const each of both) pipes.delete(each)
    }
    client.once('close', done)
    upstream.once('close', done)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')

  const endAll = (end: (client: Socket, upstream: Socket | undefined) => void) => {
    for (const [client, upstream] of [...clients]) end(client, upstream)
  }
  return {
    port: (server.address() as AddressInfo).port,
    connections: () => clients.size,
    begin(fault, direction) {
      if (ON_BYTES.has(fault.kind)) faults[direction] = fault
      switch (fault.kind) {
        case 'refuse':
        case 'silent':
        case 'duplicate':
          onConnect = fault.kind
          break
        case 'reset':
          endAll((client, upstream) => {
            reset(client)
            reset(upstream)
          })
          break
        case 'close':
          endAll((client, upstream) => {
            client.end()
            upstream?.end()
          })
          break
        case 'half-close':
          endAll((client, upstream) => (direction === 'down' ? client.end() : upstream?.end()))
          break
        default:
      }
      for (const each of pipes) each.pump()
    },
    heal() {
      faults.up = faults.down = undefined
      // Whom nobody talked to would wait for ever, and no network does that for one connection alone.
      if (onConnect === 'silent') {
        for (const [client, upstream] of clients) if (!upstream) reset(client)
      }
      onConnect = 'pass'
      for (const each of pipes) each.pump()
    },
    passed(direction, bytes) {
      const goal = passed[direction] + bytes
      return new Promise((resolve) => {
        const watcher = () => {
          if (passed[direction] < goal) return
          watchers.delete(watcher)
          resolve()
        }
        watchers.add(watcher)
        watcher()
      })
    },
    async stop() {
      endAll((client, upstream) => {
        client.destroy()
        upstream?.destroy()
      })
      for (const each of extra) each.destroy()
      server.close()
      await once(server, 'close')
    },
  }
}
