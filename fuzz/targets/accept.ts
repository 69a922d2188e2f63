import { acceptsGzip, negotiate } from '../../src/exposition/negotiate.js'
import { must, type Target } from '../target.js'

const TYPE =
  /^(?:text\/plain; version=(?:0\.0\.4|1\.0\.0); charset=utf-8|application\/openmetrics-text; version=(?:0\.0\.1|1\.0\.0); charset=utf-8|application\/vnd\.google\.protobuf; proto=io\.prometheus\.client\.MetricFamily; encoding=delimited); escaping=(?:allow-utf-8|underscores|dots|values)$/
const BEGINS = { text: 'text/', openmetrics: 'application/o', protobuf: 'application/v' }

/** Uses the input as the headers `Accept` and `Accept-Encoding`. The content type must fit the chosen format. */
export const accept: Target = {
  name: 'accept',
  weight: 12,
  seeds: [
    'application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.6,application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3,text/plain;version=0.0.4;q=0.2,*/*;q=0.1',
    'text/html,application/xhtml+xml,*/*;q=0.8',
    'gzip;q=0.5, identity, x-gzip;q=1.0',
    'text/plain;version="0.0.4";escaping="a\\"b"',
  ],
  words: [
    'application/openmetrics-text',
    'text/plain',
    ';q=',
    ';version=1.0.0',
    'escaping=',
    'gzip',
  ],
  run(input) {
    const header = input.toString('latin1')
    const { format, contentType } = negotiate(header)
    must(TYPE.test(contentType), `the exporter must not send this content type: ${contentType}`)
    must(
      contentType.startsWith(BEGINS[format]),
      `the content type must fit ${format}: ${contentType}`,
    )
    must(typeof acceptsGzip(header) === 'boolean', 'acceptsGzip must return a boolean')
  },
}
