import { counter, gauge, type Area } from './documented-family.js'

export const muc: Area = {
  title: 'Rooms (mod_muc)',
  from: 'Each component `"muc"`.',
  since: '0.12',
  families: [
    gauge('prosody_mod_muc__live_room', 'host', 'Rooms that are in memory.', {
      watch: 'A steady climb on a server whose rooms should end: rooms that occupants never leave.',
      defect:
        'Not all rooms that exist: persistent rooms without occupants are only on disk (see `muc_room_cache_size`).',
    }),
    counter('prosody_mod_muc__room_hit', 'host', 'Rooms that were looked for and were in memory.', {
      since: '0.11',
    }),
    counter(
      'prosody_mod_muc__room_miss',
      'host',
      'Rooms that were looked for and were not in memory, so that the storage was asked.',
      {
        since: '0.11',
        watch: 'Many beside `room_hit`: `muc_room_cache_size` is small, or a client guesses names.',
      },
    ),
    counter(
      'prosody_mod_muc__room_eviction',
      'host',
      'Rooms that were put out of memory because there were more than muc_room_cache_size.',
      { since: '0.11', watch: 'A steady rate: raise `muc_room_cache_size`.' },
    ),
    ...['hit', 'miss', 'eviction'].map((event) =>
      gauge(
        `prosody_mod_muc__room_${event}_per_second`,
        'host',
        `The same as room_${event}, in a second, in the last interval of Prosody's statistics.`,
        { since: '0.11', until: '0.11', watch: 'Rather `rate()` of the counter.' },
      ),
    ),
  ],
}
