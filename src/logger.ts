import {
  configureSync,
  getJsonLinesFormatter,
  getLogfmtFormatter,
  getLogger,
  type LogLevel as TapeLevel,
  type LogRecord,
} from '@logtape/logtape'
import type { LogFormat, LogLevel } from './config.js'
import type { Log, LogLine } from './log.js'

const CATEGORY = 'prosody-exporter'
const TAPE_LEVELS: Readonly<Record<LogLevel, TapeLevel>> = {
  debug: 'debug',
  info: 'info',
  warn: 'warning',
  error: 'error',
}

/**
 * Sets up logging for this process, one line per record; the latest call wins.
 *
 * @param write Takes each line with its newline.
 */
export function createLogger(
  options: { readonly level: LogLevel; readonly format: LogFormat },
  write: (line: string) => void,
): Log {
  const format =
    options.format === 'json'
      ? getJsonLinesFormatter({ properties: 'flatten' })
      : getLogfmtFormatter()
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
      // Not logger.info(): that fills in `{…}` in messages, and ours may quote a server's words.
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
