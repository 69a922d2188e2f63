import { counter, histogram, type Area } from './documented-family.js'

export const storage: Area = {
  title: 'Storage (mod_mam, mod_muc_mam, mod_storage_sql, accounts)',
  from: 'The archives (XEP-0313), SQL storage and the clean-up of deleted accounts.',
  since: '0.12',
  families: [
    histogram(
      'prosody_mod_mam__cleanup_seconds',
      'host',
      "Time that the daily removal of expired messages from users' archives took.",
      { watch: 'Growing from day to day: the archive outgrows its storage.' },
    ),
    histogram(
      'prosody_mod_muc_mam__cleanup_seconds',
      'host',
      "Time that the daily removal of expired messages from rooms' archives took.",
      { watch: 'Growing from day to day: the archive outgrows its storage.' },
    ),
    counter(
      'prosody_mod_storage_sql__item_count_cache_hit',
      'host',
      'Times that the number of items in an archive was known without asking the database.',
    ),
    counter(
      'prosody_mod_storage_sql__item_count_cache_miss',
      'host',
      'Times that the number of items in an archive had to be counted by the database.',
      { watch: 'Many beside the hits: raise `storage_archive_item_limit_cache_size`.' },
    ),
    histogram(
      'prosody_mod_user_account_management__cleanup_seconds',
      'host',
      'Time that the removal of deleted accounts took.',
      { since: '13.0' },
    ),
  ],
}
