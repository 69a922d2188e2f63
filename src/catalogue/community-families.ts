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
    watch: 'If `rate()` is near 1, the single thread of Prosody is always busy.',
  }),
  gauge('process_resident_memory_bytes', '', 'Resident memory of Prosody (mod_measure_process).', {
    watch: 'If it rises over days, a module may have a memory leak.',
  }),
  gauge('process_virtual_memory_bytes', '', 'Virtual memory of Prosody (mod_measure_process).'),
  gauge(
    'process_open_fds',
    '',
    'Number of open file descriptors of Prosody (mod_measure_process).',
    {
      watch: 'Compare it with the limit of the system: each connection needs one file descriptor.',
    },
  ),
  gauge(
    'process_max_fds',
    '',
    'Maximum number of open file descriptors of Prosody (mod_measure_process).',
    {
      defect:
        'Some versions of the module report the hard limit. Prosody cannot open more file descriptors than the soft limit, which may be lower.',
    },
  ),
  gauge('lua_heap_bytes', '', 'Memory of the objects that Lua manages (mod_measure_lua).', {
    watch: 'The garbage collector causes a saw-tooth curve. Look at its lowest points.',
  }),
  counter('lua_info', 'version', 'Version of Lua, with the constant value 1 (mod_measure_lua).', {
    defect: 'It is a counter, so its name is `lua_info_total`.',
  }),
  gauge(
    'malloc_heap_allocated_bytes',
    'mode',
    'Memory that the C library allocated from the system, by method (mod_measure_malloc).',
  ),
  gauge('malloc_heap_used_bytes', '', 'Memory in use by Prosody (mod_measure_malloc).'),
  gauge(
    'malloc_heap_unused_bytes',
    '',
    'Unused memory that the C library holds (mod_measure_malloc).',
    { watch: 'If it is large, the memory is fragmented. It is not a sign of a memory leak.' },
  ),
  gauge(
    'malloc_heap_returnable_bytes',
    '',
    'Memory that the C library could return to the system (mod_measure_malloc).',
  ),
  gauge('prosody_memory_lua', '', 'Memory of the objects that Lua manages (mod_measure_memory).'),
  gauge('prosody_memory_total', '', 'Virtual memory of Prosody (mod_measure_memory).'),
  gauge('prosody_memory_rss', '', 'Resident memory of Prosody (mod_measure_memory).'),
  gauge('prosody_cpu_percent', '', 'CPU usage of Prosody, in percent (mod_measure_cpu).'),
  counter('prosody_cpu_clock', '', 'CPU time that Prosody has used (mod_measure_cpu).', {
    defect:
      'Each collection adds the whole CPU time again, so the value grows with the square of the time. Use mod_measure_process.',
  }),
]

const clients: readonly Documented[] = [
  ...['available', 'chat', 'away', 'dnd', 'xa', 'unavailable', 'invalid'].map((show) =>
    gauge(
      `prosody_client_presence_${show}`,
      '',
      `Number of sessions whose presence is ${show} (mod_measure_client_presence).`,
    ),
  ),
  gauge(
    'prosody_client_identities_<identity>',
    '',
    'Number of sessions whose client reports this identity (mod_measure_client_identities).',
    {
      defect:
        'Clients choose the names, so the number of families is unlimited. See `registry.drop`.',
    },
  ),
  gauge(
    'prosody_client_features_<feature>',
    '',
    'Number of sessions whose client supports this feature (mod_measure_client_features).',
    {
      watch: 'The family `prosody_client_features_total` is the number of all examined sessions.',
      defect:
        'Clients choose the names, so the number of families is unlimited. See `registry.drop`.',
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
      `Number of users who were online in the last ${time} (mod_measure_active_users).`,
      {
        defect:
          'About once an hour, the module counts all users in one pass, which blocks Prosody.',
      },
    ),
  ),
  counter(
    'prosody_mod_measure_registration__user_registering',
    'host',
    'Number of registrations started (mod_measure_registration).',
  ),
  counter(
    'prosody_mod_measure_registration__user_registered',
    'host',
    'Number of accounts registered (mod_measure_registration).',
    { watch: 'A sudden rise may be due to spammers.' },
  ),
]

const STANZAS_DEFECT =
  'Each stanza counts once for every host that loads the module. Take the `max` over `host`, not the `sum`, or use `xmpp_stanzas_total`.'

const traffic: readonly Documented[] = [
  counter(
    'prosody_mod_measure_stanza_counts__received',
    'host session_type stanza_kind',
    'Number of stanzas received, by type of the stream and kind (mod_measure_stanza_counts).',
    { defect: STANZAS_DEFECT, on011: { labels: ['session_type', 'stanza_kind'] } },
  ),
  counter(
    'prosody_mod_measure_stanza_counts__sent',
    'host session_type stanza_kind',
    'Number of stanzas sent, by type of the stream and kind (mod_measure_stanza_counts).',
    { defect: STANZAS_DEFECT, on011: { labels: ['session_type', 'stanza_kind'] } },
  ),
  ...[
    ['message', 'Number of messages, with or without a text'],
    ['plain', 'Number of messages with a text and no encryption'],
    ['openpgp', 'Number of messages encrypted with OpenPGP (XEP-0027)'],
    ['otr', 'Number of messages encrypted with OTR'],
    ['ox', 'Number of messages encrypted with OpenPGP (XEP-0373)'],
    ['omemo', 'Number of messages encrypted with OMEMO'],
    ['encrypted', 'Number of messages encrypted with OpenPGP, OTR or OMEMO'],
  ].map(([name, meaning]) =>
    counter(
      `prosody_mod_measure_message_e2ee__${name}`,
      'host',
      `${meaning} (mod_measure_message_e2ee).`,
    ),
  ),
  histogram(
    'prosody_mod_measure_message_length__bytes_bytes',
    'host',
    'Length of the texts of messages (mod_measure_message_length).',
  ),
  summary(
    'prosody_mod_measure_message_length__lines',
    'host',
    'Number of lines in the texts of messages (mod_measure_message_length).',
  ),
  summary(
    'prosody_mod_measure_message_length__words',
    'host',
    'Number of words in the texts of messages (mod_measure_message_length).',
  ),
]

const spam: readonly Documented[] = [
  counter(
    'prosody_mod_anti_spam__anti_spam_blocked_stanzas',
    'host reason',
    'Number of messages and contact requests blocked as spam (mod_anti_spam).',
    {
      watch:
        'The values of `reason` are `known-spam-source`, `known-spam-jid` and `spam-content`. A sudden rise is a wave of spam that the module stops.',
    },
  ),
  counter(
    'prosody_mod_spam_reporting__received_reports',
    'host report_type',
    'Number of reports of spam and abuse that users sent (mod_spam_reporting).',
    {
      watch: 'A rise of `report_type="spam"` means that spam reaches the users.',
    },
  ),
  counter(
    'prosody_mod_report_forward__forwarded_reports',
    'host',
    'Number of reports of spam and abuse sent to other servers (mod_report_forward).',
    {
      defect:
        'The module does not load on Prosody 0.12.3, but on 0.12.5. Reports that the module sends to the server of the reported user are not counted, only those to the addresses in `report_forward_to`.',
    },
  ),
]

const rooms: readonly Documented[] = [
  ['total', 'Number of rooms in memory'],
  ['hidden', 'Number of hidden rooms in memory'],
  ['persistent', 'Number of persistent rooms in memory'],
  ['passwd', 'Number of rooms in memory with a password'],
  ['archiving', 'Number of rooms in memory with an archive'],
].map(([name, meaning]) =>
  gauge(`prosody_mod_measure_muc__${name}`, 'host', `${meaning} (mod_measure_muc).`),
)

const inside: readonly Documented[] = [
  gauge(
    'prosody_module_status',
    'host module',
    'Status that a module of Prosody reports: 0 for core, 1 for info, 2 for warn, 3 for error (mod_measure_modules).',
    {
      watch:
        'Alert on 3. The value 0 is for a module that was loaded and has not reported a status.',
    },
  ),
  histogram(
    'prosody_mod_measure_storage__<store>_<type>_<operation>_seconds',
    'host',
    'Duration of one operation on one store of Prosody (mod_measure_storage).',
    {
      watch:
        'A slow operation delays all users, because Prosody accesses storage in its single thread.',
      defect:
        'Each store and operation has its own family. On 0.12, `measure_storage_tagged_metric` has no effect.',
    },
  ),
  ...['debug', 'info', 'warn', 'error'].map((level) =>
    counter(
      `prosody_mod_log_rate__log_${level}`,
      '',
      `Number of log lines with the level ${level} (mod_log_rate).`,
    ),
  ),
  counter(
    'prosody_mod_log_slow_events__slow_events',
    '',
    'Number of events that took longer than log_slow_events_threshold (mod_log_slow_events).',
    {
      watch:
        'Alert on any increase: the event blocked Prosody for that time, by default half a second or more. The log of Prosody names the event.',
    },
  ),
  histogram(
    'prosody_mod_http_upload__slot_bytes',
    'host',
    'Size of the files that users requested to upload (mod_http_upload).',
    { watch: 'Replace mod_http_upload with mod_http_file_share.' },
  ),
  histogram(
    'prosody_mod_http_upload__upload_bytes',
    'host',
    'Size of the uploaded files (mod_http_upload).',
    { watch: 'Replace mod_http_upload with mod_http_file_share.' },
  ),
]

const jitsi: readonly Documented[] = [
  counter(
    'prosody_mod_auth_token__success',
    'host',
    "Number of logins with a valid token (Jitsi's mod_auth_token).",
  ),
  counter(
    'prosody_mod_auth_token__verify_fail',
    'host',
    "Number of logins with an invalid token (Jitsi's mod_auth_token).",
    { watch: 'A rise can have its cause in clocks, in keys, or in attempts to guess a token.' },
  ),
  ...[
    ['pre_fetch_fail', 'Number of logins whose public key could not be fetched'],
    ['post_auth_fail', 'Number of logins that failed after the token was validated'],
    ['ban', 'Number of login attempts by banned users'],
  ].map(([name, meaning]) =>
    counter(`prosody_mod_auth_token__${name}`, 'host', `${meaning} (Jitsi's mod_auth_token).`),
  ),
  counter(
    'prosody_mod_token_verification__success',
    'host',
    "Number of attempts to enter a room that the token allowed (Jitsi's mod_token_verification).",
  ),
  counter(
    'prosody_mod_token_verification__fail',
    'host',
    "Number of attempts to enter a room that the token did not allow (Jitsi's mod_token_verification).",
  ),
  ...['rooms', 'participants', 'visitors'].map((what) =>
    gauge(
      `prosody_mod_fmuc__vnode_${what}`,
      'host',
      `Number of ${what} on a Prosody for visitors (Jitsi's mod_fmuc).`,
    ),
  ),
  gauge(
    'prosody_mod_rate_limit__limited_ips',
    'host',
    "Number of client addresses that are slowed down (Jitsi's mod_rate_limit).",
    { watch: 'If many participants share an address, for example an office, raise the limit.' },
  ),
  ...[
    ['rooms_with_queue', 'Number of times that a room began to delay joins'],
    ['full_queue', 'Number of joins that were rejected because the queue was full'],
    ['errors_processing_queue', 'Number of errors of the queue'],
  ].map(([name, meaning]) =>
    counter(
      `prosody___mod_muc_rate_limit__${name}`,
      '',
      `${meaning} (Jitsi's mod_muc_rate_limit).`,
    ),
  ),
  counter(
    'prosody_mod_filter_iq_rayo__drop',
    'host',
    "Number of outgoing calls that were rejected because of a limit (Jitsi's mod_filter_iq_rayo).",
  ),
  gauge(
    'prosody_mod_muc_census__leaked_rooms',
    'host',
    "Number of rooms in memory without occupants (Jitsi's mod_muc_census).",
    { defect: 'The value is updated only by a request for `/room-census`.' },
  ),
  ...[
    ['pre_fetch_fail', 'Number of public keys that could not be fetched'],
    ['verify_fail', 'Number of logins with an invalid token'],
    ['success', 'Number of logins with a valid token'],
    ['ban', 'Number of login attempts by banned users'],
    ['post_auth_fail', 'Number of logins that failed after the token was validated'],
  ].map(([name, meaning]) =>
    counter(
      `prosody_mod_auth_hybrid_matrix_token__${name}`,
      'host',
      `${meaning} (Jitsi's mod_auth_hybrid_matrix_token).`,
    ),
  ),
]

const from =
  'Modules of the [Prosody community](https://modules.prosody.im). Each description names the module in brackets.'

export const community: readonly Area[] = [
  { title: 'Community modules: the process', from, since: '0.12', families: processes },
  { title: 'Community modules: clients and users', from, since: '0.12', families: clients },
  { title: 'Community modules: traffic', from, since: '0.12', families: traffic },
  { title: 'Community modules: spam', from, since: '0.12', families: spam },
  { title: 'Community modules: rooms', from, since: '0.12', families: rooms },
  { title: 'Community modules: internals', from, since: '0.12', families: inside },
  {
    title: "Jitsi's modules",
    from: 'Modules of [Jitsi Meet](https://jitsi.org).',
    since: '0.12',
    families: jitsi,
  },
]
