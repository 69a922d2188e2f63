import {
  counter,
  gauge,
  histogram,
  summary,
  type Area,
  type Documented,
} from './documented-family.js'

const processes: readonly Documented[] = [
  counter('process_cpu_seconds', '', 'CPU time that Prosody has used (mod_measure_process).', {
    watch: '`rate()` near 1: the only thread is busy all the time.',
  }),
  gauge('process_resident_memory_bytes', '', "Prosody's resident memory (mod_measure_process).", {
    watch: 'A climb over days.',
  }),
  gauge('process_virtual_memory_bytes', '', "Prosody's virtual memory (mod_measure_process)."),
  gauge('process_open_fds', '', 'File descriptors that Prosody has open (mod_measure_process).', {
    watch: 'Against the limit: each connection is one.',
  }),
  gauge(
    'process_max_fds',
    '',
    'Most file descriptors that Prosody may open (mod_measure_process).',
    { defect: 'It is the hard limit; Prosody fails at the soft limit, which may be lower.' },
  ),
  gauge('lua_heap_bytes', '', 'Memory of the objects that Lua manages (mod_measure_lua).', {
    watch: 'A saw-tooth is the garbage collector; look at its lowest points.',
  }),
  counter('lua_info', 'version', 'Version of Lua; always 1 (mod_measure_lua).', {
    defect: 'It is a counter, and so called `lua_info_total`.',
  }),
  gauge(
    'malloc_heap_allocated_bytes',
    'mode',
    'Memory that the C library has from the system, by how it got it (mod_measure_malloc).',
  ),
  gauge('malloc_heap_used_bytes', '', 'Memory in use by Prosody (mod_measure_malloc).'),
  gauge(
    'malloc_heap_unused_bytes',
    '',
    'Unused memory that the C library holds (mod_measure_malloc).',
    { watch: 'Much of it: fragmentation, not a leak.' },
  ),
  gauge(
    'malloc_heap_returnable_bytes',
    '',
    'Memory that the C library could give back to the system (mod_measure_malloc).',
  ),
  gauge('prosody_memory_lua', '', 'Memory of the objects that Lua manages (mod_measure_memory).'),
  gauge('prosody_memory_total', '', "Prosody's virtual memory (mod_measure_memory)."),
  gauge('prosody_memory_rss', '', "Prosody's resident memory (mod_measure_memory)."),
  gauge('prosody_cpu_percent', '', 'CPU that Prosody uses, in percent (mod_measure_cpu).'),
  counter('prosody_cpu_clock', '', 'CPU time that Prosody has used (mod_measure_cpu).', {
    defect:
      'Each collection adds the whole time again, so that it grows with the square of it. Use mod_measure_process.',
  }),
]

const clients: readonly Documented[] = [
  ...['available', 'chat', 'away', 'dnd', 'xa', 'unavailable', 'invalid'].map((show) =>
    gauge(
      `prosody_client_presence_${show}`,
      '',
      `Sessions whose presence is ${show} (mod_measure_client_presence).`,
    ),
  ),
  gauge(
    'prosody_client_identities_<identity>',
    '',
    'Sessions whose client says it is of this kind (mod_measure_client_identities).',
    {
      defect: 'Clients choose the names: the number of families has no bound. See `registry.drop`.',
    },
  ),
  gauge(
    'prosody_client_features_<feature>',
    '',
    'Sessions whose client offers this feature; _total: all that were looked at (mod_measure_client_features).',
    {
      defect: 'Clients choose the names: the number of families has no bound. See `registry.drop`.',
    },
  ),
  ...[
    ['1d', '24 hours'],
    ['7d', '7 days'],
    ['30d', '30 days'],
  ].map(([suffix, time]) =>
    gauge(
      `prosody_mod_measure_active_users__active_users_${suffix}`,
      'host',
      `Users who were online in the last ${time} (mod_measure_active_users).`,
      {
        defect: 'Counted about once an hour in one pass over all users, which blocks Prosody.',
      },
    ),
  ),
  counter(
    'prosody_mod_measure_registration__user_registering',
    'host',
    'Registrations that were begun (mod_measure_registration).',
  ),
  counter(
    'prosody_mod_measure_registration__user_registered',
    'host',
    'Accounts that were registered (mod_measure_registration).',
    { watch: 'A sudden rate: spammers.' },
  ),
]

const STANZAS_DEFECT =
  'Each stanza is counted once for every host on which the module is loaded: take the `max`, not the `sum`, over `host`. Ours is `xmpp_stanzas_total`.'

const traffic: readonly Documented[] = [
  counter(
    'prosody_mod_measure_stanza_counts__received',
    'host session_type stanza_kind',
    'Stanzas received, by type of the stream and kind (mod_measure_stanza_counts).',
    { defect: STANZAS_DEFECT, on011: { labels: ['session_type', 'stanza_kind'] } },
  ),
  counter(
    'prosody_mod_measure_stanza_counts__sent',
    'host session_type stanza_kind',
    'Stanzas sent, by type of the stream and kind (mod_measure_stanza_counts).',
    { defect: STANZAS_DEFECT, on011: { labels: ['session_type', 'stanza_kind'] } },
  ),
  ...[
    ['message', 'Messages, those without a text too'],
    ['plain', 'Messages with a text and no encryption'],
    ['openpgp', 'Messages encrypted with OpenPGP (XEP-0027)'],
    ['otr', 'Messages encrypted with OTR'],
    ['ox', 'Messages encrypted with OpenPGP (XEP-0373)'],
    ['omemo', 'Messages encrypted with OMEMO'],
    ['encrypted', 'Messages encrypted in any of these ways'],
  ].map(([name, words]) =>
    counter(
      `prosody_mod_measure_message_e2ee__${name}`,
      'host',
      `${words} (mod_measure_message_e2ee).`,
    ),
  ),
  histogram(
    'prosody_mod_measure_message_length__bytes_bytes',
    'host',
    'Length of the text of messages (mod_measure_message_length).',
  ),
  summary(
    'prosody_mod_measure_message_length__lines',
    'host',
    'Lines in the text of messages (mod_measure_message_length).',
  ),
  summary(
    'prosody_mod_measure_message_length__words',
    'host',
    'Words in the text of messages (mod_measure_message_length).',
  ),
]

const rooms: readonly Documented[] = [
  ['total', 'Rooms in memory'],
  ['hidden', 'Rooms in memory that no list shows'],
  ['persistent', 'Rooms in memory that stay when the last occupant leaves'],
  ['passwd', 'Rooms in memory with a password'],
  ['archiving', 'Rooms in memory that keep an archive'],
].map(([name, words]) =>
  gauge(`prosody_mod_measure_muc__${name}`, 'host', `${words} (mod_measure_muc).`),
)

const inside: readonly Documented[] = [
  gauge(
    'prosody_module_status',
    'host module',
    'State that a module reports: 0 core, 1 information, 2 warning, 3 error (mod_measure_modules).',
    { watch: 'Alert on 3.' },
  ),
  histogram(
    'prosody_mod_measure_storage__<store>_<type>_<operation>_seconds',
    'host',
    'Time that this operation on this store took (mod_measure_storage).',
    {
      watch: 'What is slow here is slow for everybody: storage is used on the only thread.',
      defect:
        'A family for each store and operation; `measure_storage_tagged_metric` is lost on 0.12.',
    },
  ),
  ...['debug', 'info', 'warn', 'error'].map((level) =>
    counter(`prosody_mod_log_rate__log_${level}`, '', `Lines logged as ${level} (mod_log_rate).`),
  ),
  counter(
    'prosody_mod_log_slow_events__slow_events',
    '',
    'Events that took longer than log_slow_events_threshold, half a second by default (mod_log_slow_events).',
    { watch: 'Any: Prosody was blocked for that time. Its log names the event.' },
  ),
  histogram(
    'prosody_mod_http_upload__slot_bytes',
    'host',
    'Size of files that users asked to upload (mod_http_upload, which mod_http_file_share replaces).',
  ),
  histogram(
    'prosody_mod_http_upload__upload_bytes',
    'host',
    'Size of files that were uploaded (mod_http_upload, which mod_http_file_share replaces).',
  ),
]

const jitsi: readonly Documented[] = [
  counter(
    'prosody_mod_auth_token__success',
    'host',
    "Logins with a token that was right (Jitsi's mod_auth_token).",
  ),
  counter(
    'prosody_mod_auth_token__verify_fail',
    'host',
    "Logins with a token that was wrong (Jitsi's mod_auth_token).",
    { watch: 'A rise: clocks, keys, or attempts to log in.' },
  ),
  counter(
    'prosody_mod_token_verification__fail',
    'host',
    "Rooms that a token did not open (Jitsi's mod_token_verification).",
  ),
  gauge(
    'prosody_mod_muc_census__leaked_rooms',
    'host',
    "Rooms without occupants that are still there (Jitsi's mod_muc_census).",
    { defect: 'Known only after a request for `/room-census`.' },
  ),
  ...[
    ['pre_fetch_fail', 'Keys for tokens that could not be fetched'],
    ['verify_fail', 'Logins with a token that was wrong'],
    ['success', 'Logins with a token that was right'],
    ['ban', 'Logins of who is banned'],
    ['post_auth_fail', 'Logins that failed after the token was found right'],
  ].map(([name, words]) =>
    counter(
      `prosody_mod_auth_hybrid_matrix_token__${name}`,
      'host',
      `${words} (Jitsi's mod_auth_hybrid_matrix_token).`,
    ),
  ),
]

const from =
  'Modules of the [Prosody community](https://modules.prosody.im); each line names its own.'

export const community: readonly Area[] = [
  { title: 'Community modules: the process', from, since: '0.12', families: processes },
  { title: 'Community modules: clients and users', from, since: '0.12', families: clients },
  { title: 'Community modules: traffic', from, since: '0.12', families: traffic },
  { title: 'Community modules: rooms', from, since: '0.12', families: rooms },
  { title: 'Community modules: inside the server', from, since: '0.12', families: inside },
  {
    title: "Jitsi's modules",
    from: 'Modules of [Jitsi Meet](https://jitsi.org).',
    since: '0.12',
    families: jitsi,
  },
]
