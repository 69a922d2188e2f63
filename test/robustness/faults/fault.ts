/** The faults that the proxy can apply. */

/** `up`: from the client to the server. */
export type Direction = 'up' | 'down'

/** A fault that changes how the bytes of one direction arrive. */
export type ByteFault =
  /** Bytes arrive later by `ms`, in order. */
  | { readonly kind: 'delay'; readonly ms: number }
  /** Bytes arrive in pieces of `bytes` bytes, with one write for each piece. */
  | { readonly kind: 'split'; readonly bytes: number }
  /** Bytes are collected for `ms` and written together. */
  | { readonly kind: 'merge'; readonly ms: number }
  /** Nothing arrives until the fault ends; then everything does. */
  | { readonly kind: 'stall' }
  /** Bytes that arrive during the fault are lost, although TCP guarantees delivery. */
  | { readonly kind: 'drop' }
  /** About one byte in `every` is replaced by a random one. */
  | { readonly kind: 'corrupt'; readonly every: number }
  | { readonly kind: 'throttle'; readonly bytesPerSecond: number }

export type Fault =
  | ByteFault
  /** Every open connection ends immediately: by RST, by FIN, or by FIN in one direction only. */
  | { readonly kind: 'reset' | 'close' | 'half-close' }
  /** New connections are reset; open connections continue. */
  | { readonly kind: 'refuse' }
  /** New connections are accepted but not forwarded to the server, and never get data. */
  | { readonly kind: 'silent' }
  /** Each client gets a second connection to the server, with the same bytes; its replies are discarded. */
  | { readonly kind: 'duplicate' }

const BYTE_FAULTS: ReadonlySet<string> = new Set<ByteFault['kind']>([
  ...(['delay', 'split', 'merge', 'stall', 'drop', 'corrupt', 'throttle'] as const),
])

export function isByteFault(fault: Fault): fault is ByteFault {
  return BYTE_FAULTS.has(fault.kind)
}
