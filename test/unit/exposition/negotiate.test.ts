import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { acceptsGzip, negotiate } from '../../../src/exposition/negotiate.js'

const TEXT = 'text/plain; version=0.0.4; charset=utf-8; escaping=underscores'
const TEXT_1 = 'text/plain; version=1.0.0; charset=utf-8; escaping=underscores'
const OM_0 = 'application/openmetrics-text; version=0.0.1; charset=utf-8; escaping=underscores'
const OM_1 = 'application/openmetrics-text; version=1.0.0; charset=utf-8; escaping=underscores'
const OM_1_UTF8 = 'application/openmetrics-text; version=1.0.0; charset=utf-8; escaping=allow-utf-8'
const PROTO =
  'application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited'
const PROTO_TYPE =
  'application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited; ' +
  'escaping=underscores'
const PROTO_TYPE_UTF8 = PROTO_TYPE.replace('underscores', 'allow-utf-8')

/** The Accept headers that releases of Prometheus send, from their scrape/scrape.go and config/config.go. */
const PROMETHEUS: readonly [versions: string, accept: string, contentType: string][] = [
  [
    '2.5 to 2.33',
    'application/openmetrics-text; version=0.0.1,text/plain;version=0.0.4;q=0.5,*/*;q=0.1',
    OM_0,
  ],
  [
    '2.34 to 2.48',
    'application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,' +
      'text/plain;version=0.0.4;q=0.5,*/*;q=0.1',
    OM_1,
  ],
  [
    '2.40 to 2.48 with native histograms',
    `${PROTO},application/openmetrics-text;version=1.0.0;q=0.8,` +
      'application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1',
    PROTO_TYPE,
  ],
  [
    '2.49 to 2.55',
    'application/openmetrics-text;version=1.0.0;q=0.5,' +
      'application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2',
    OM_1,
  ],
  [
    '2.55 with utf8-names',
    'application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,' +
      'application/openmetrics-text;version=0.0.1;escaping=allow-utf-8;q=0.4,' +
      'text/plain;version=0.0.4;escaping=allow-utf-8;q=0.3,*/*;q=0.2',
    OM_1_UTF8,
  ],
  [
    '3.0 to 3.3',
    'application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,' +
      'application/openmetrics-text;version=0.0.1;escaping=allow-utf-8;q=0.5,' +
      'text/plain;version=1.0.0;escaping=allow-utf-8;escaping=allow-utf-8;q=0.4,' +
      'text/plain;version=0.0.4;escaping=allow-utf-8;q=0.3,*/*;q=0.2',
    OM_1_UTF8,
  ],
  [
    '3.4 to 3.14',
    'application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,' +
      'application/openmetrics-text;version=0.0.1;q=0.5,' +
      'text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2',
    OM_1_UTF8,
  ],
  [
    '3.4 to 3.14 with native histograms',
    `${PROTO};q=0.6,application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,` +
      'application/openmetrics-text;version=0.0.1;q=0.4,' +
      'text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3,text/plain;version=0.0.4;q=0.2,*/*;q=0.1',
    PROTO_TYPE,
  ],
  ['3 with PrometheusProto as the only scrape protocol', `${PROTO};q=0.6,*/*;q=0.5`, PROTO_TYPE],
  [
    '3 with PrometheusText1.0.0 as the only scrape protocol',
    'text/plain;version=1.0.0;escaping=allow-utf-8;q=0.2,*/*;q=0.1',
    'text/plain; version=1.0.0; charset=utf-8; escaping=allow-utf-8',
  ],
]

for (const [versions, accept, contentType] of PROMETHEUS) {
  test(`Prometheus ${versions} gets the exposition format that it prefers`, () => {
    assert.equal(negotiate(accept).contentType, contentType)
  })
}

test('the negotiated format matches the negotiated content type', () => {
  assert.equal(negotiate('application/openmetrics-text').format, 'openmetrics')
  assert.equal(negotiate('text/plain').format, 'text')
  assert.equal(negotiate('text/plain;version=1.0.0').format, 'text')
  assert.equal(negotiate(PROTO).format, 'protobuf')
  assert.equal(negotiate(undefined).format, 'text')
})

const ACCEPT: readonly [what: string, accept: string | undefined, contentType: string][] = [
  ['a missing header results in text', undefined, TEXT],
  ['an empty header results in text', '', TEXT],
  ['a wildcard results in text', '*/*', TEXT],
  ['a browser gets text', 'text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8', TEXT],
  ['text/* results in text', 'text/*', TEXT],
  ['OpenMetrics is preferred to an earlier wildcard', '*/*, application/openmetrics-text', OM_0],
  ['text/plain without a version results in version 0.0.4', 'text/plain', TEXT],
  ['an empty version counts as none', 'text/plain;version=', TEXT],
  ['text 1.0.0 is supported', 'text/plain;version=1.0.0', TEXT_1],
  ['OpenMetrics without a version is 0.0.1', 'application/openmetrics-text', OM_0],
  [
    'an unsupported version is skipped',
    'application/openmetrics-text;version=2.0.0,application/openmetrics-text;version=1.0.0;q=0.1',
    OM_1,
  ],
  ['protobuf is supported', PROTO, PROTO_TYPE],
  [
    'the Content-Type of protobuf has the requested escaping',
    `${PROTO};escaping=allow-utf-8`,
    PROTO_TYPE_UTF8,
  ],
  ['protobuf is preferred to a wildcard with a higher q', `*/*;q=0.9,${PROTO};q=0.1`, PROTO_TYPE],
  ['text with a higher q is preferred to protobuf', `${PROTO};q=0.4,text/plain;q=0.5`, TEXT],
  ['protobuf with q=0 is excluded', `${PROTO};q=0,text/plain;q=0.1`, TEXT],
  ['protobuf as text is not supported', PROTO.replace('delimited', 'text'), TEXT],
  ['protobuf without an encoding is not supported', PROTO.replace(';encoding=delimited', ''), TEXT],
  ['protobuf with another message is not supported', PROTO.replace('Family', 'Point'), TEXT],
  ['protobuf without a message is not supported', 'application/vnd.google.protobuf', TEXT],
  [
    'protobuf with quotes is supported',
    PROTO.replace('io.prometheus.client.MetricFamily', '"io.prometheus.client.MetricFamily"'),
    PROTO_TYPE,
  ],
  ['a charset has no effect', 'application/openmetrics-text;version=1.0.0;charset=latin1', OM_1],
  [
    'the format with the highest q is chosen',
    'text/plain;q=0.4, application/openmetrics-text;q=0.5',
    OM_0,
  ],
  [
    'of formats with the same q, the first is chosen',
    'text/plain, application/openmetrics-text',
    TEXT,
  ],
  [
    'q=0 excludes a format',
    'application/openmetrics-text;q=0, text/plain;version=1.0.0;q=0.1',
    TEXT_1,
  ],
  ['q=0.000 excludes a format', 'application/openmetrics-text;version=1.0.0;q=0.000', TEXT],
  ['a negative q excludes a format', 'application/openmetrics-text;q=-1', TEXT],
  [
    'a q that is not a number counts as 1',
    'text/plain;q=0.9, application/openmetrics-text;q=high',
    OM_0,
  ],
  [
    'upper and lower case have the same meaning',
    'Application/OpenMetrics-Text; VERSION=1.0.0; Q=0.3',
    OM_1,
  ],
  ['blanks have no effect', ' application/openmetrics-text ;\tversion = 1.0.0 ', OM_1],
  ['a version can be in quotation marks', 'application/openmetrics-text;version="1.0.0"', OM_1],
  [
    'a quoted version can have a character with a backslash',
    'application/openmetrics-text;version="1\\.0.0"',
    OM_1,
  ],
  [
    'separators inside quotes are ignored',
    'text/plain;x="a,application/openmetrics-text;q=1";q=0.5',
    TEXT,
  ],
  ['of two versions in a clause, the last applies', 'text/plain;version=9;version=1.0.0', TEXT_1],
  [
    'every escaping scheme is echoed',
    'text/plain;escaping=dots',
    'text/plain; version=0.0.4; charset=utf-8; escaping=dots',
  ],
  [
    'a quoted escaping is echoed without quotes',
    'text/plain;escaping="values"',
    'text/plain; version=0.0.4; charset=utf-8; escaping=values',
  ],
  ['an unknown escaping is ignored', 'text/plain;escaping=none', TEXT],
  [
    'an escaping cannot inject text into the response header',
    'text/plain;escaping="dots\\; x=y"',
    TEXT,
  ],
  [
    'an escaping applies to the following media types',
    'text/html;escaping=allow-utf-8,text/plain;q=0.1',
    'text/plain; version=0.0.4; charset=utf-8; escaping=allow-utf-8',
  ],
  ['a malformed header results in text', ',;=,"; q=, /,*;q', TEXT],
  [
    'a missing closing quotation mark results in text',
    'application/openmetrics-text;version="1.0.0',
    TEXT,
  ],
]

for (const [what, accept, contentType] of ACCEPT) {
  test(`Accept: ${what}`, () => {
    assert.equal(negotiate(accept).contentType, contentType)
  })
}

test('any Accept header results in one of the supported content types', () => {
  const word = fc.constantFrom(
    ...[
      'text/plain',
      'application/openmetrics-text',
      '*/*',
      ';',
      ',',
      'version=',
      '1.0.0',
      '"',
      PROTO,
    ],
    ...['\\', 'q=', '0', '0.5', 'escaping=', 'dots', 'allow-utf-8', ' ', '='],
  )
  const header = fc.oneof(
    fc.string({ unit: 'binary' }),
    fc.array(word, { maxLength: 30 }).map((words) => words.join('')),
  )
  fc.assert(
    fc.property(header, (accept) => {
      assert.match(
        negotiate(accept).contentType,
        /^(text\/plain; version=(0\.0\.4|1\.0\.0); charset=utf-8|application\/openmetrics-text; version=(0\.0\.1|1\.0\.0); charset=utf-8|application\/vnd\.google\.protobuf; proto=io\.prometheus\.client\.MetricFamily; encoding=delimited); escaping=(allow-utf-8|underscores|dots|values)$/,
      )
    }),
  )
})

const ENCODINGS: readonly [acceptEncoding: string | undefined, gzip: boolean][] = [
  [undefined, false],
  ['', false],
  ['gzip', true],
  ['GZIP', true],
  ['x-gzip', true],
  ['gzip, deflate, br', true],
  ['gzip;q=0', false],
  ['gzip;q=0.000', false],
  ['gzip; q=0.001', true],
  ['*', true],
  ['*;q=0', false],
  ['gzip;q=0, *', false],
  ['*;q=0, gzip', true],
  ['identity', false],
  ['identity, gzip', true],
  ['identity;q=0.5, gzip;q=1', true],
  ['identity, gzip;q=0.5', false],
  ['identity;q=0, *', true],
  ['deflate', false],
  ['gzipped', false],
  [';,=', false],
]

for (const [acceptEncoding, gzip] of ENCODINGS) {
  test(`Accept-Encoding: ${acceptEncoding ?? 'absent'} ${gzip ? 'accepts' : 'refuses'} gzip`, () => {
    assert.equal(acceptsGzip(acceptEncoding), gzip)
  })
}
