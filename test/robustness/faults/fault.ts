/** The faults that the proxy can apply. */

/** `up` is from the client of the proxy to the server, and `down` is from the server to the client. */
export type Direction = 'up' | 'down'

/** A fault that changes how the bytes of one direction arrive. */
export type ByteFault =
  /** Bytes arrive `ms` milliseconds later, in the same order. */
  | { readonly kind: 'delay'; readonly ms: number }
  /** Bytes arrive in pieces of `bytes` bytes, with one write for each piece. */
  | { readonly kind: 'split'; readonly bytes: number }
  /** The proxy collects bytes for `ms` milliseconds and writes them together. */
  | { readonly kind: 'merge'; readonly ms: number }
  /** No bytes arrive until the fault ends. Then all delayed bytes arrive. */
  | { readonly kind: 'stall' }
  /** Bytes that arrive during the fault are lost, although TCP guarantees delivery. */
  | { readonly kind: 'drop' }
  /** The proxy replaces about one byte in `every` bytes with a random byte. */
  | { readonly kind: 'corrupt'; readonly every: number }
  | { readonly kind: 'throttle'; readonly bytesPerSecond: number }

export type Fault =
  | ByteFault
  /** Open connections end immediately. `reset`: by RST. `close`: by FIN. `half-close`: by FIN in one direction. */
  | { readonly kind: 'reset' | 'close' | 'half-close' }
  /** The proxy resets new connections. Open connections continue. */
  | { readonly kind: 'refuse' }
  /** The proxy accepts new connections, but does not connect to the server and never sends data. */
  | { readonly kind: 'silent' }
  /** The proxy sends the bytes of each client to the server on a second connection too, and discards its replies. */
  | { readonly kind: 'duplicate' }

const BYTE_FAULTS: ReadonlySet<string> = new Set<ByteFault['kind']>([
  ...(['delay', 'split', 'merge', 'stall', 'drop', 'corrupt', 'throttle'] as const),
])

export function isByteFault(fault: Fault): fault is ByteFault {
  return BYTE_FAULTS.has(fault.kind)
}
