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

/** The names of the levels in logfmt, as Prometheus 3 and its exporters write them. */
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
  // The level is the second field. The first one, the time, has no blank.
  return (record) => format(record).replace(/ level=\w+/, ` level=${LEVEL_NAMES[record.level]}`)
}

/**
 * Configures the log of this process. A later call replaces the configuration.
 *
 * @param write Takes one line per record, with its newline.
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
      // Not logger.info(), because it replaces `{…}` in messages, which can contain texts of a server.
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
