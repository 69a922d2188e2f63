import {
  configureSync,
  getJsonLinesFormatter,
  getLogfmtFormatter,
  getLogger,
  type LogLevel as TapeLevel,
  type LogRecord,
} from '@logtape/logtape'
import type { Log, LogLevel, LogLine, LogOptions } from './log.js'

const CATEGORY = 'prosody-exporter'
const TAPE_LEVELS: Readonly<Record<LogLevel, TapeLevel>> = {
  debug: 'debug',
  info: 'info',
  warn: 'warning',
  error: 'error',
}

/** The names of the log levels in the format logfmt. Prometheus 3 and its exporters use the same names. */
const LEVEL_NAMES: Readonly<Record<TapeLevel, string>> = {
  trace: 'DEBUG',
  debug: 'DEBUG',
  info: 'INFO',
  warning: 'WARN',
  error: 'ERROR',
  fatal: 'ERROR',
}

function createLogfmtFormatter(): (record: LogRecord) => string {
  const format = getLogfmtFormatter()
  // Only the level matches: it is the second field, and the first field is a time without blanks.
  return (record) => format(record).replace(/ level=\w+/, ` level=${LEVEL_NAMES[record.level]}`)
}

/**
 * Creates the log of this process. A second call also changes the level and the format of the first log.
 *
 * @param write Called with each log line, including its newline.
 */
export function createLogger(options: LogOptions, write: (line: string) => void): Log {
  const format =
    options.format === 'json'
      ? getJsonLinesFormatter({ properties: 'flatten' })
      : createLogfmtFormatter()
  configureSync({
    reset: true,
    sinks: {
      lines: (record: LogRecord) => {
        write(format(record))
      },
    },
    loggers: [
      { category: CATEGORY, sinks: ['lines'], lowestLevel: TAPE_LEVELS[options.level] },
      { category: ['logtape', 'meta'], sinks: ['lines'], lowestLevel: 'warning' },
    ],
  })
  const logger = getLogger(CATEGORY)
  const line =
    (level: TapeLevel): LogLine =>
    (message, fields = {}) => {
      // logger.info() would replace `{…}` in the message. A message can contain texts of a server, so it is not a
      // template.
      logger.emit({
        level,
        message: [message],
        rawMessage: message,
        timestamp: Date.now(),
        properties: { ...fields },
      })
    }
  return { debug: line('debug'), info: line('info'), warn: line('warning'), error: line('error') }
}
