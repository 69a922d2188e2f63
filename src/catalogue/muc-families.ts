import { counter, gauge, type Area } from './documented-family.js'

export const muc: Area = {
  title: 'Rooms (mod_muc)',
  from: 'Each component of Prosody with the line `Component "…" "muc"`.',
  since: '0.12',
  families: [
    gauge('prosody_mod_muc__live_room', 'host', 'Number of rooms in memory.', {
      watch: 'If it rises steadily on a server with temporary rooms, occupants never leave them.',
      defect:
        'The value does not include all rooms: persistent rooms without occupants may be only on disk (see `muc_room_cache_size`).',
    }),
    counter(
      'prosody_mod_muc__room_hit',
      'host',
      'Number of room lookups that found the room in memory.',
      {
        since: '0.11',
      },
    ),
    counter(
      'prosody_mod_muc__room_miss',
      'host',
      'Number of room lookups that did not find the room in memory, so that Prosody queried the storage.',
      {
        since: '0.11',
        watch:
          'If there are many compared with `prosody_mod_muc__room_hit_total`, `muc_room_cache_size` is too small, or a client guesses names of rooms.',
      },
    ),
    counter(
      'prosody_mod_muc__room_eviction',
      'host',
      'Number of rooms removed from memory because more than muc_room_cache_size rooms were in memory.',
      { since: '0.11', watch: 'If the rate is steady, raise `muc_room_cache_size`.' },
    ),
    ...['hit', 'miss', 'eviction'].map((event) =>
      gauge(
        `prosody_mod_muc__room_${event}_per_second`,
        'host',
        `Rate per second of room_${event} in the last statistics interval.`,
        { since: '0.11', until: '0.11', watch: 'Use `rate()` of the counter instead.' },
      ),
    ),
  ],
}
