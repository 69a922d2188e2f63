/**
 * Valid and invalid expositions in the Prometheus text format 0.0.4 and in OpenMetrics 1.0.0. No two valid inputs of
 * a format have the same series, so together they form a valid exposition.
 */

export type ValidInput = {
  readonly what: string
  readonly text: string
  /** The values of all series of the input. The labels in the keys are sorted by name. */
  readonly series: Readonly<Record<string, number>>
  /**
   * Set if Prometheus 3 does not read this valid input as the specification says: it refuses the input, or reads
   * other series.
   */
  readonly prometheus?: 'refuses' | 'misreads'
}

export type InvalidInput = {
  readonly what: string
  readonly text: string | Uint8Array
  /** Set if Prometheus 3 accepts this input, which is invalid by the specification. */
  readonly isAcceptedByPrometheus?: true
}

const valid = (
  what: string,
  text: string,
  series: Readonly<Record<string, number>>,
  more: Pick<ValidInput, 'prometheus'> = {},
): ValidInput => ({ what, text, series, ...more })

const invalid = (
  what: string,
  text: string | Uint8Array,
  more: Pick<InvalidInput, 'isAcceptedByPrometheus'> = {},
): InvalidInput => ({ what, text, ...more })

const REFUSED = { prometheus: 'refuses' } as const
const ACCEPTED = { isAcceptedByPrometheus: true } as const

export const VALID_TEXT: readonly ValidInput[] = [
  valid('a sample without labels', 'plain 1\n', { 'plain{}': 1 }),
  valid('an empty label set', 'no_labels{} 2\n', { 'no_labels{}': 2 }),
  valid('a colon in a name', ':rule:sum 3\n', { ':rule:sum{}': 3 }),
  valid('several blanks', 'blanks   4\n', { 'blanks{}': 4 }),
  valid('tabs', 'tabs{a="b"}\t \t5\t\n', { 'tabs{a="b"}': 5 }),
  // Prometheus 3 reads leading blanks as part of the name of the metric.
  valid('leading blanks', ' \tleading 5\n', { 'leading{}': 5 }, { prometheus: 'misreads' }),
  valid('trailing blanks', 'trailing{a="b"} 6   \n', { 'trailing{a="b"}': 6 }),
  valid('blanks in a label set', 'spaced { a = "b" , c\t=\t"d" , } 7\n', {
    'spaced{a="b",c="d"}': 7,
  }),
  valid('a comma after the last label', 'comma{a="b",} 8\n', { 'comma{a="b"}': 8 }),
  valid('no blank after a label set', 'close{a="b"}9\n', { 'close{a="b"}': 9 }),
  valid('labels in another order', 'order{b="1",a="2"} 10\n', { 'order{a="2",b="1"}': 10 }),
  valid('an empty label', 'empty{a="",b="c"} 11\n', { 'empty{b="c"}': 11 }),
  valid('braces, commas and a hash in a label', 'marks{a="},{ # x=\\"y\\" 1"} 12\n', {
    'marks{a="},{ # x=\\"y\\" 1"}': 12,
  }),
  valid('every escape', String.raw`escapes{a="\\ \" \n"} 13` + '\n', {
    [String.raw`escapes{a="\\ \" \n"}`]: 13,
  }),
  valid('a backslash at the end of a label', String.raw`last{a="\\"} 14` + '\n', {
    [String.raw`last{a="\\"}`]: 14,
  }),
  valid('an unknown escape', String.raw`unknown{a="C:\dir\x"} 15` + '\n', {
    [String.raw`unknown{a="C:\\dir\\x"}`]: 15,
  }),
  valid('characters beyond ASCII', 'wide{a="é 😀"} 16\n', { 'wide{a="é 😀"}': 16 }),
  valid('separators of other languages', 'lines{a="x\u2028y\u2029z\u0085\r\f\v"} 17\n', {
    'lines{a="x\u2028y\u2029z\u0085\r\f\v"}': 17,
  }),
  valid('a null character in a label', 'null{a="x\0y"} 18\n', { 'null{a="x\0y"}': 18 }),
  valid('names of JavaScript', '__proto__{constructor="__proto__"} 19\n', {
    '__proto__{constructor="__proto__"}': 19,
  }),
  valid('infinities and NaN', 'inf1 Inf\ninf2 +Inf\ninf3 -Inf\nnan1 NaN\n', {
    'inf1{}': Infinity,
    'inf2{}': Infinity,
    'inf3{}': -Infinity,
    'nan1{}': NaN,
  }),
  valid('infinities and NaN in any case', 'inf4 +INF\ninf5 infinity\ninf6 -Infinity\nnan2 nan\n', {
    'inf4{}': Infinity,
    'inf5{}': Infinity,
    'inf6{}': -Infinity,
    'nan2{}': NaN,
  }),
  valid('every form of a decimal', 'd1 .5\nd2 5.\nd3 +5\nd4 1e3\nd5 -1.5E-3\nd6 007\n', {
    'd1{}': 0.5,
    'd2{}': 5,
    'd3{}': 5,
    'd4{}': 1000,
    'd5{}': -0.0015,
    'd6{}': 7,
  }),
  valid('more digits than a double has', `digits ${'1'.repeat(300)}.${'2'.repeat(300)}\n`, {
    'digits{}': Number('1'.repeat(300)),
  }),
  valid('a timestamp', 'stamped{a="b"} 20 1395066363000\n', { 'stamped{a="b"}': 20 }),
  valid('a timestamp before 1970', 'before 21 -3982045\n', { 'before{}': 21 }, REFUSED),
  valid('blank lines', '\n\n  \n\t\nafter_blank 22\n', { 'after_blank{}': 22 }),
  valid(
    'comments',
    '#\n# \n#comment\n# EOF\n#TYPE x y z\n# HELPING x\n# TYPE\n# HELP\nafter 23\n',
    {
      'after{}': 23,
    },
  ),
  valid('metadata', '# HELP meta Text with \\n and "quotes".\n# TYPE meta gauge\nmeta 24\n', {
    'meta{}': 24,
  }),
  valid('metadata without samples', '# HELP nothing\n# TYPE nothing counter\n', {}),
  valid('a HELP without a text', '# HELP bare\nbare 25\n', { 'bare{}': 25 }),
  valid('tabs in metadata', '#\tTYPE\ttabbed\tgauge\n#  HELP  tabbed  x\ntabbed 26\n', {
    'tabbed{}': 26,
  }),
  valid('blanks around a type', '# TYPE typed   gauge  \ntyped 27\n', { 'typed{}': 27 }, REFUSED),
  valid('a family in two places', 'apart{a="1"} 1\nelsewhere 1\napart{a="2"} 2\n', {
    'apart{a="1"}': 1,
    'apart{a="2"}': 2,
    'elsewhere{}': 1,
  }),
  valid('a TYPE after its samples', 'late 28\n# TYPE late counter\n', { 'late{}': 28 }),
  valid(
    'a histogram',
    '# TYPE h histogram\nh_bucket{le="1"} 1\nh_bucket{le="+Inf"} 2\nh_sum 3\nh_count 2\n',
    { 'h_bucket{le="1"}': 1, 'h_bucket{le="+Inf"}': 2, 'h_sum{}': 3, 'h_count{}': 2 },
  ),
  valid('names in quotes', '{"a.name"} 29\n{"b.name","c.label"="d",e="f"} 30\n', {
    '{"a.name"}': 29,
    '{"b.name","c.label"="d",e="f"}': 30,
  }),
  valid('a name in quotes after a label', '{e="f","last.name"} 31\n', {
    '{"last.name",e="f"}': 31,
  }),
  valid('metadata of a name in quotes', '# TYPE "q.name" gauge\n# HELP "q.name" x\n', {}),
]

export const INVALID_TEXT: readonly InvalidInput[] = [
  invalid('words', 'It works!\n'),
  invalid('a page', '<html>\n'),
  invalid('JSON', '{"a": 1}\n'),
  invalid('a name without a value', 'a\n'),
  invalid('a name that starts with a digit', '1a 1\n'),
  invalid('a name with a dot', 'a.b 1\n'),
  // Prometheus 3 reads `a.5` as the metric `a` with the value .5.
  invalid('no blank before the value', 'a.5\n', ACCEPTED),
  invalid('a word as a value', 'a one\n'),
  invalid('a hexadecimal value', 'a 0x10\n'),
  invalid('a hexadecimal value with an exponent', 'a 0x1p-3\n'),
  invalid('an underscore in a value', 'a 1_000\n'),
  invalid('a value with a comma', 'a 1,5\n'),
  invalid('a value beyond a double', 'a 1e309\n'),
  invalid('a lone sign', 'a -\n'),
  invalid('a lone exponent', 'a e5\n'),
  invalid('digits of another script', 'a ٣\n'),
  invalid('a timestamp that is a word', 'a 1 now\n'),
  invalid('a timestamp that is not finite', 'a 1 NaN\n'),
  invalid('more than a timestamp', 'a 1 2 3\n'),
  invalid('text after the value', 'a 1 # comment\n'),
  invalid('a carriage return', 'a 1\r\n'),
  invalid('a byte order mark', '\uFEFFa 1\n'),
  invalid('an unterminated label set', 'a{b="c" 1\n'),
  invalid('an unterminated label', 'a{b="c\n'),
  invalid('a label whose end is escaped', String.raw`a{b="c\"} 1` + '\n'),
  invalid('a label without quotes', 'a{b=c} 1\n'),
  invalid('a label in other quotes', "a{b='c'} 1\n"),
  invalid('a label without a value', 'a{b} 1\n'),
  invalid('a label without a name', 'a{="c"} 1\n'),
  invalid('a colon in a label', 'a{b:c="d"} 1\n'),
  invalid('a label whose name starts with a digit', 'a{1="c"} 1\n'),
  invalid('a comma only', 'a{,} 1\n'),
  invalid('two commas', 'a{b="1",,c="2"} 1\n'),
  invalid('no comma between labels', 'a{b="1"c="2"} 1\n', ACCEPTED),
  invalid('a label twice', 'a{b="1",b="2"} 1\n'),
  invalid('the name as a label', 'a{__name__="b"} 1\n'),
  invalid('no name', '{a="b"} 1\n'),
  invalid('two names', 'a{"b.c"} 1\n'),
  invalid('two names in quotes', '{"a.b","c.d"} 1\n'),
  invalid('a null character in a name', 'a\0b 1\n'),
  invalid('a label that is not UTF-8', Buffer.from('a{b="\xff"} 1\n', 'latin1')),
  invalid('a label with half a character', Buffer.from('a{b="\xe2\x82"} 1\n', 'latin1')),
  invalid('a TYPE without a type', '# TYPE a\na 1\n'),
  invalid('an unknown type', '# TYPE a ampere\na 1\n'),
  invalid('more than a type', '# TYPE a gauge b\na 1\n'),
  invalid('a HELP without a name', '# HELP \na 1\n'),
  invalid('a TYPE without a name', '# TYPE \na 1\n'),
  invalid('a HELP with a wrong name', '# HELP 1a Text.\na 1\n'),
  invalid('a HELP that is not UTF-8', Buffer.from('# HELP a \xff\na 1\n', 'latin1')),
]

export const VALID_OPENMETRICS: readonly ValidInput[] = [
  valid('a sample without metadata', 'plain 1\n', { 'plain{}': 1 }),
  valid('metadata without samples', '# TYPE nothing counter\n# HELP nothing \n', {}),
  valid(
    'all metadata',
    '# TYPE c_seconds counter\n# UNIT c_seconds seconds\n# HELP c_seconds "A" \\n\nc_seconds_total 2\n',
    { 'c_seconds_total{}': 2 },
  ),
  valid('an empty unit', '# TYPE u gauge\n# UNIT u \nu 3\n', { 'u{}': 3 }),
  valid('an exemplar', '# TYPE e counter\ne_total 4 # {id="x"} 0.5\ne_total{a="b"} 5 # {} 1\n', {
    'e_total{}': 4,
    'e_total{a="b"}': 5,
  }),
  valid(
    'an exemplar with a timestamp, after one',
    '# TYPE f counter\nf_total{a="b"} 6 1520879607.789 # {id="x",b="y"} 0.5 1520879607.1\n',
    { 'f_total{a="b"}': 6 },
  ),
  valid(
    'a hash in labels, and in those of an exemplar',
    '# TYPE g counter\ng_total{a="b # {c=\\"d\\"} 1"} 7 # {e="} # {\\"f"} 1 2\n',
    { 'g_total{a="b # {c=\\"d\\"} 1"}': 7 },
  ),
  valid('an exponent in a timestamp', 't1 8 1.5e3\nt2 9 1.520879607789E+9\n', {
    't1{}': 8,
    't2{}': 9,
  }),
  valid('a timestamp with a fraction, zeros, a sign', 't3 1 000\nt4 1 0.0\nt5 1 -1.25\n', {
    't3{}': 1,
    't4{}': 1,
    't5{}': 1,
  }),
  valid('a timestamp of many digits', 't6 1 12345678901234567890.123456789\n', { 't6{}': 1 }),
  valid(
    'a histogram with exemplars',
    '# TYPE h histogram\nh_bucket{le="1.0"} 1 # {id="x"} 0.7\nh_bucket{le="+Inf"} 2\nh_count 2\nh_sum 3\nh_created 4\n',
    {
      'h_bucket{le="1"}': 1,
      'h_bucket{le="+Inf"}': 2,
      'h_count{}': 2,
      'h_sum{}': 3,
      'h_created{}': 4,
    },
  ),
  valid('a summary', '# TYPE s summary\ns{quantile="0.5"} 1\ns_count 2\ns_sum 3\n', {
    's{quantile="0.5"}': 1,
    's_count{}': 2,
    's_sum{}': 3,
  }),
  valid(
    'a gauge histogram',
    '# TYPE gh gaugehistogram\ngh_bucket{le="+Inf"} 2\ngh_gcount 2\ngh_gsum -3\n',
    { 'gh_bucket{le="+Inf"}': 2, 'gh_gcount{}': 2, 'gh_gsum{}': -3 },
  ),
  valid(
    'an info, a state set and an unknown',
    '# TYPE i info\ni_info{v="1"} 1\n# TYPE st stateset\nst{st="on"} 1\n# TYPE un unknown\nun 10\n',
    { 'i_info{v="1"}': 1, 'st{st="on"}': 1, 'un{}': 10 },
  ),
  valid('an unknown escape', String.raw`ue{a="\foo"} 11` + '\n', {
    [String.raw`ue{a="\\foo"}`]: 11,
  }),
  valid('a null character', '# HELP n he\0lp\nn{a="\0"} 12\n', { 'n{a="\0"}': 12 }),
  valid('separators of other languages', 'l{a="x\u2028y\u0085z\r"} 13\n', {
    'l{a="x\u2028y\u0085z\r"}': 13,
  }),
  valid('names in quotes', '# TYPE "a.n" gauge\n{"a.n","l.n"="x"} 14\n', {
    '{"a.n","l.n"="x"}': 14,
  }),
]

/** Invalid OpenMetrics expositions without the last line `# EOF`, which the tests add. */
export const INVALID_OPENMETRICS: readonly InvalidInput[] = [
  invalid('words', 'It works!\n'),
  invalid('a name without a value', 'a\n'),
  invalid('a timestamp that is not finite', 'a 1 +Inf\n'),
  invalid('a NaN timestamp', 'a 1 NaN\n'),
  invalid('an exemplar without labels', 'a_total 1 # 1\n'),
  invalid('an exemplar without a value', 'a_total 1 # {a="b"}\n'),
  invalid('an unterminated exemplar', 'a_total 1 # {a="b" 1\n'),
  invalid('an exemplar with a word as value', 'a_total 1 # {a="b"} x\n'),
  invalid('an exemplar with a word as timestamp', 'a_total 1 # {a="b"} 1 x\n'),
  invalid('more than an exemplar', 'a_total 1 # {a="b"} 1 2 3\n'),
  invalid('two exemplars', 'a_total 1 # {a="b"} 1 # {a="c"} 1\n'),
  invalid('a name in quotes in an exemplar', 'a_total 1 # {"a.b"} 1\n'),
  invalid('a hash only', 'a_total 1 #\n'),
  invalid('an unknown type', '# TYPE a ampere\na 1\n'),
  invalid('a line after the end', '# EOF\na 1\n'),
  invalid('a blank line after the end', '# EOF\n\n'),
]
