import { parseExternalUrl, parseRoutePrefix } from '../../src/config/reverse-proxy.js'
import { parseTemplate } from '../../src/config/messaging-values.js'
import { parseDomain, parseServiceAddress } from '../../src/config/xmpp-address.js'
import { parseDuration } from '../../src/config/duration.js'
import { ConfigError } from '../../src/errors.js'
import { readSettings } from '../../src/config/read-settings.js'
import { readWaitMs } from '../../src/http/scrape-deadline.js'
import { formatAddress, parseListenAddress } from '../../src/config/listen-address.js'
import { parseService } from '../../src/xmpp/address.js'
import { oneLine } from '../../src/xmpp/stream-end.js'
import { must, refusing, type Target } from '../target.js'

/** Parses durations, addresses, domains, URLs and flags. A parser must return a valid value or throw a ConfigError. */
export const parsers: Target = {
  name: 'parsers',
  weight: 10,
  seeds: [
    '1d2h3m4s5ms',
    '[::1]:9347',
    'unix:/run/x.sock',
    'xmpp://127.0.0.1:5347',
    'stats.exämple.com',
    'https://example.org/prosody/',
    '--log.level=debug',
    '9.5',
    '{{ labels.severity }}: {{ startsAt }}',
  ],
  words: ['xmpp://', 'unix:/', '::1', '--no-', '--web.', 'ms', 'y', '@', '/', '?', 'xn--'],
  run(input) {
    const text = input.toString()
    const given = { from: 'flag', source: '--x', text } as const
    const ms = parseDuration(text)
    must(
      ms === undefined || (Number.isSafeInteger(ms) && ms >= 0),
      `a duration must be a whole number of ms: ${ms}`,
    )
    const wait = readWaitMs(text, 500)
    must(
      wait === undefined || (wait > 0 && wait <= 600_000),
      `a wait must be between 0 and 10 minutes: ${wait}`,
    )
    const address = parseListenAddress(text, false)
    if (address) {
      must(
        parseListenAddress(formatAddress(address), false) !== undefined,
        'the text of an address must be a valid address',
      )
    }
    const domain = parseDomain(text)
    if (domain !== undefined)
      must(!/[\s@/<>&"']/u.test(domain), `a domain must not have special characters: ${domain}`)
    const url = refusing([ConfigError], () => parseServiceAddress(given))
    if (url !== undefined) must(parseService(url).port > 0, 'a service must have a port')
    refusing([TypeError], () => parseService(text))
    refusing([ConfigError], () => parseExternalUrl(given))
    refusing([ConfigError], () => parseRoutePrefix(given))
    refusing([ConfigError], () => parseTemplate(given))
    refusing([ConfigError], () =>
      readSettings(text.split(/\s+/), { PROSODY_EXPORTER_XMPP_HOST: text }),
    )
    must(
      !/[\r\n]/.test(oneLine(text)) && oneLine(text).length <= 200,
      'oneLine must return one short line',
    )
  },
}
