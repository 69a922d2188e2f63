/** A structured log line: a message for people and fields for machines. Never given a secret. */
export type Log = {
  readonly debug: LogLine
  readonly info: LogLine
  readonly warn: LogLine
  readonly error: LogLine
}

export type Fields = Readonly<Record<string, unknown>>
export type LogLine = (message: string, fields?: Fields) => void

/** The same log, with these fields in each line. */
export function withFields(log: Log, fields: () => Fields): Log {
  const line =
    (level: keyof Log): LogLine =>
    (message, more) => {
      log[level](message, { ...fields(), ...more })
    }
  return { debug: line('debug'), info: line('info'), warn: line('warn'), error: line('error') }
}
