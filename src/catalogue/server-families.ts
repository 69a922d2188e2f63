import { gauge, histogram, type Area } from './documented-family.js'

const ON_011 = { type: 'summary' } as const

export const server: Area = {
  title: 'Prosody itself',
  from: 'Prosody has these metrics if `prosody.cfg.lua` contains `statistics = "internal"`.',
  since: '0.12',
  families: [
    gauge('prosody_info', 'version', 'Version of Prosody, with the constant value 1.', {
      since: '13.0',
      watch: 'Join it to other series with `group_left(version)` to see the effect of an upgrade.',
    }),
    histogram(
      'prosody_stats_collection_seconds',
      '',
      'Duration of one collection of statistics, during which Prosody is blocked.',
      {
        since: '0.11',
        on011: ON_011,
        watch:
          'If it is more than about 10 ms, a module iterates over all sessions or rooms at each collection.',
        defect:
          'On 0.11, the sum is an estimate from a sample of the collections, and the count is the number of statistics intervals.',
      },
    ),
    histogram(
      'prosody_stats_processing_seconds',
      '',
      'Duration of the processing that follows each collection of statistics.',
      {
        since: '0.11',
        on011: ON_011,
        watch: 'It is nearly 0 with `statistics = "internal"`.',
        defect:
          'With `statistics_interval = "manual"`, the duration does not include the rendering of metrics for a scrape.',
      },
    ),
    histogram(
      'prosody_dns_seconds',
      'qclass qtype',
      'Duration of DNS lookups, including lookups answered from a cache, by class and type of the record.',
      {
        since: '13.0',
        watch:
          'If a high quantile is above a second, the resolver is slow, and delays each new connection with another server.',
      },
    ),
    ...['collection', 'processing'].flatMap((step) =>
      [
        ['average', 'Average'],
        ['min', 'Shortest'],
        ['max', 'Longest'],
      ].map(([field, word]) =>
        gauge(
          `prosody_stats_${step}_seconds_${field}`,
          '',
          `${word} duration of the ${step} of statistics in the last interval.`,
          {
            since: '0.11',
            until: '0.11',
            defect: 'Prosody computes the value from a sample of the durations.',
          },
        ),
      ),
    ),
  ],
}
