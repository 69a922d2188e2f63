import { gauge, histogram, type Area } from './documented-family.js'

const ON_011 = { type: 'summary' } as const

export const server: Area = {
  title: 'Prosody itself',
  from: 'Always there with `statistics = "internal"`.',
  since: '0.12',
  families: [
    gauge('prosody_info', 'version', 'Version of Prosody; always 1.', {
      since: '13.0',
      watch: 'Join it to other series by `group_left(version)` to see what an upgrade changed.',
    }),
    histogram(
      'prosody_stats_collection_seconds',
      '',
      'Time that Prosody was busy with one collection of its statistics, during which Prosody is blocked.',
      {
        since: '0.11',
        on011: ON_011,
        watch:
          'More than some 10 ms: a module that walks all sessions or rooms at each collection.',
        defect:
          'On 0.11 the sum is an estimate from a sample, and the count is that of the intervals.',
      },
    ),
    histogram(
      'prosody_stats_processing_seconds',
      '',
      'Time that Prosody took to pass the collected statistics on.',
      {
        since: '0.11',
        on011: ON_011,
        watch: 'Near nothing with `statistics = "internal"`.',
        defect:
          'With `statistics_interval = "manual"` it says nothing about rendering for a scrape.',
      },
    ),
    histogram(
      'prosody_dns_seconds',
      'qclass qtype',
      'Time that DNS lookups took, by class and type of the record; those answered from a cache are among them.',
      {
        since: '13.0',
        watch:
          'A high quantile above a second: the resolver is slow, and so is each new connection with another server.',
      },
    ),
    ...['collection', 'processing'].flatMap((step) =>
      [
        ['average', 'on average'],
        ['min', 'at least'],
        ['max', 'at most'],
      ].map(([field, words]) =>
        gauge(
          `prosody_stats_${step}_seconds_${field}`,
          '',
          `Time that the ${step} of statistics took ${words} in the last interval.`,
          { since: '0.11', until: '0.11', defect: 'Of a sample of them.' },
        ),
      ),
    ),
  ],
}
