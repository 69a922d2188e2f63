import { counter, histogram, type Area } from './documented-family.js'

export const storage: Area = {
  title: 'Storage (mod_mam, mod_muc_mam, mod_storage_sql, accounts)',
  from: 'The archives (XEP-0313), SQL storage and the removal of deleted accounts.',
  since: '0.12',
  families: [
    histogram(
      'prosody_mod_mam__cleanup_seconds',
      'host',
      "Duration of the daily removal of expired messages from users' archives.",
      {
        watch:
          'If this duration grows from day to day, the storage is too slow for the size of the archive.',
      },
    ),
    histogram(
      'prosody_mod_muc_mam__cleanup_seconds',
      'host',
      "Duration of the daily removal of expired messages from rooms' archives.",
      {
        watch:
          'If this duration grows from day to day, the storage is too slow for the size of the archive.',
      },
    ),
    counter(
      'prosody_mod_storage_sql__item_count_cache_hit',
      'host',
      'Number of times that the item count of an archive was found in the cache.',
    ),
    counter(
      'prosody_mod_storage_sql__item_count_cache_miss',
      'host',
      'Number of times that the database had to count the items of an archive.',
      {
        watch:
          'If there are many compared with `prosody_mod_storage_sql__item_count_cache_hit_total`, raise `storage_archive_item_limit_cache_size`.',
      },
    ),
    histogram(
      'prosody_mod_user_account_management__cleanup_seconds',
      'host',
      'Duration of the removal of deleted accounts.',
      { since: '13.0' },
    ),
  ],
}
