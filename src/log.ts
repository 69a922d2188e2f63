/** A structured log line: a message for people and fields for machines. Never given a secret. */
export type Log = {
  readonly debug: LogLine
  readonly info: LogLine
  readonly warn: LogLine
  readonly error: LogLine
}

export type LogLine = (message: string, fields?: Readonly<Record<string, unknown>>) => void
