/** A structured log. Each line has a message for people and fields for programs. Never log a secret. */
export type Log = {
  readonly debug: LogLine
  readonly info: LogLine
  readonly warn: LogLine
  readonly error: LogLine
}

export type Fields = Readonly<Record<string, unknown>>
export type LogLine = (message: string, fields?: Fields) => void

/** Returns a log that adds the result of `fields` to the fields of each line. */
export function withFields(log: Log, fields: () => Fields): Log {
  const line =
    (level: keyof Log): LogLine =>
    (message, more) => {
      log[level](message, { ...fields(), ...more })
    }
  return { debug: line('debug'), info: line('info'), warn: line('warn'), error: line('error') }
}

export const LOG_LEVELS = ['debug', 'info', 'warn', 'error'] as const
export const LOG_FORMATS = ['logfmt', 'json'] as const
export type LogLevel = (typeof LOG_LEVELS)[number]

export type LogOptions = {
  readonly level: LogLevel
  readonly format: (typeof LOG_FORMATS)[number]
}
