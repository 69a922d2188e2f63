/** The state of the stream to a server, for the status page. */
export type LinkReport = {
  readonly isConnected: boolean
  /** How often the exporter has connected to the server. */
  readonly connects: number
  /** Why the exporter is not connected; `undefined` before the first attempt has ended. */
  readonly problem: string | undefined
  /** Why other programs repeatedly end the stream, even if the exporter is connected now. */
  readonly conflict: string | undefined
}
