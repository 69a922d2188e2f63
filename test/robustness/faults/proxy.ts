/** A TCP proxy on the loopback interface that simulates faults of a network or of the other end of a connection. */

import { once } from 'node:events'
import { connect, createServer, type AddressInfo, type Socket } from 'node:net'
import type { Random } from '../../support/random.js'
import { isByteFault, type ByteFault, type Direction, type Fault } from './fault.js'
import { Pipe } from './pipe.js'

/**
 * Ends a connection by RST. A socket that is still connecting or has sent its FIN is only destroyed. With a reset of
 * such a socket, Node.js 20 loses its handle and uses all CPU time when the process exits.
 */
function reset(socket: Socket | undefined): void {
  if (!socket || socket.connecting || socket.writableEnded) socket?.destroy()
  else socket.resetAndDestroy()
}

export async function startProxy(targetPort: number, random: Random): Promise<FaultyProxy> {
  const proxy = new FaultyProxy(targetPort, random)
  await proxy.listen()
  return proxy
}

export class FaultyProxy {
  private readonly targetPort: number
  private readonly random: Random
  private readonly server = createServer({ allowHalfOpen: true }, (client) => {
    this.accept(client)
  })
  private readonly faults: Record<Direction, ByteFault | undefined> = {
    up: undefined,
    down: undefined,
  }
  private onConnect: 'pass' | 'refuse' | 'silent' | 'duplicate' = 'pass'
  /** The open connections to clients. The value is the connection to the server for the same client. */
  private readonly upstreams = new Map<Socket, Socket | undefined>()
  private readonly pipes = new Set<Pipe>()
  private readonly duplicates = new Set<Socket>()
  private readonly receivedBytes: Record<Direction, number> = { up: 0, down: 0 }
  private readonly watchers = new Set<() => void>()

  constructor(targetPort: number, random: Random) {
    this.targetPort = targetPort
    this.random = random
  }

  async listen(): Promise<void> {
    this.server.listen(0, '127.0.0.1')
    await once(this.server, 'listening')
  }

  get port(): number {
    return (this.server.address() as AddressInfo).port
  }

  /** Number of open connections to clients. */
  connections(): number {
    return this.upstreams.size
  }

  /**
   * Begins a fault. A fault that changes bytes replaces the current fault of the same direction. Except for
   * `half-close`, the direction has no effect on other faults.
   */
  begin(fault: Fault, direction: Direction): void {
    if (isByteFault(fault)) this.faults[direction] = fault
    switch (fault.kind) {
      case 'refuse':
      case 'silent':
      case 'duplicate':
        this.onConnect = fault.kind
        break
      case 'reset':
        this.endAll((client, upstream) => {
          reset(client)
          reset(upstream)
        })
        break
      case 'close':
        this.endAll((client, upstream) => {
          client.end()
          upstream?.end()
        })
        break
      case 'half-close':
        this.endAll((client, upstream) => (direction === 'down' ? client.end() : upstream?.end()))
        break
      default:
    }
    this.pumpAll()
  }

  endFaults(): void {
    this.faults.up = this.faults.down = undefined
    // Connections accepted during the fault `silent` have no connection to the server, so nothing else would end them.
    if (this.onConnect === 'silent') {
      for (const [client, upstream] of this.upstreams) if (!upstream) reset(client)
    }
    this.onConnect = 'pass'
    this.pumpAll()
  }

  /** Resolves when the proxy has received `bytes` more bytes in the given direction. For 0, resolves immediately. */
  waitForBytes(direction: Direction, bytes: number): Promise<void> {
    const goal = this.receivedBytes[direction] + bytes
    return new Promise((resolve) => {
      const watcher = () => {
        if (this.receivedBytes[direction] < goal) return
        this.watchers.delete(watcher)
        resolve()
      }
      this.watchers.add(watcher)
      watcher()
    })
  }

  async stop(): Promise<void> {
    this.endAll((client, upstream) => {
      client.destroy()
      upstream?.destroy()
    })
    for (const each of this.duplicates) each.destroy()
    this.server.close()
    await once(this.server, 'close')
  }

  private accept(client: Socket): void {
    client.on('error', () => undefined)
    this.upstreams.set(client, undefined)
    client.once('close', () => this.upstreams.delete(client))
    switch (this.onConnect) {
      case 'refuse':
        reset(client)
        return
      case 'silent':
        client.resume()
        return
      case 'duplicate':
        this.connectUpstream(client)
        this.connectDuplicate(client)
        return
      case 'pass':
        this.connectUpstream(client)
    }
  }

  private connectUpstream(client: Socket): void {
    client.setNoDelay(true)
    const upstream = connect({
      port: this.targetPort,
      host: '127.0.0.1',
      allowHalfOpen: true,
      noDelay: true,
    })
    upstream.on('error', () => undefined)
    this.upstreams.set(client, upstream)
    const both = [
      this.createPipe('up', client, upstream),
      this.createPipe('down', upstream, client),
    ]
    const close = () => {
      client.destroy()
      upstream.destroy()
      for (const pipe of both) this.pipes.delete(pipe)
    }
    client.once('close', close)
    upstream.once('close', close)
  }

  private connectDuplicate(client: Socket): void {
    const duplicate = connect({ port: this.targetPort, host: '127.0.0.1' })
    duplicate.on('error', () => undefined).resume()
    client.on('data', (chunk) => duplicate.writable && duplicate.write(chunk))
    client.once('close', () => duplicate.destroy())
    this.duplicates.add(duplicate)
  }

  private createPipe(direction: Direction, from: Socket, to: Socket): Pipe {
    const pipe = new Pipe({
      from,
      to,
      random: this.random,
      currentFault: () => this.faults[direction],
      onBytes: (bytes) => {
        this.receivedBytes[direction] += bytes
        for (const watcher of this.watchers) watcher()
      },
    })
    this.pipes.add(pipe)
    return pipe
  }

  private endAll(end: (client: Socket, upstream: Socket | undefined) => void): void {
    for (const [client, upstream] of [...this.upstreams]) end(client, upstream)
  }

  private pumpAll(): void {
    for (const pipe of this.pipes) pipe.pump()
  }
}
