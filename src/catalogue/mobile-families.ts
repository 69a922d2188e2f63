import { counter, gauge, histogram, type Area } from './documented-family.js'

export const mobile: Area = {
  title: 'Mobile clients (mod_smacks, mod_csi)',
  from: 'mod_smacks (XEP-0198), mod_csi and mod_csi_simple (XEP-0352).',
  since: '0.12',
  families: [
    counter(
      'prosody_mod_smacks__sessions_started',
      'host',
      'Number of sessions that enabled stream management.',
    ),
    counter(
      'prosody_mod_smacks__sessions_expired',
      'host',
      'Number of sessions that expired while they waited to be resumed.',
      { watch: 'A rise means that clients lose connections and do not come back.' },
    ),
    counter(
      'prosody_mod_smacks__session_resumption_expired',
      'host',
      'Number of attempts to resume a session that had expired.',
      { watch: 'If the rate is steady, raise `smacks_hibernation_time`.' },
    ),
    histogram(
      'prosody_mod_smacks__resumption_age_seconds',
      'host',
      'Time that a session was without a connection before it was resumed.',
      {
        watch: 'If most values are near `smacks_hibernation_time`, raise that setting.',
        defect:
          'The histogram buckets of Prosody 0.12 (up to 10 minutes) and 13.0 (up to a day) differ.',
      },
    ),
    counter(
      'prosody_mod_smacks__tx_queued_stanzas',
      'host',
      'Number of stanzas sent to clients with stream management; each one waits for an acknowledgement by the client.',
      {
        watch:
          'The rate of this counter is about the rate of all stanzas to clients with stream management.',
      },
    ),
    histogram(
      'prosody_mod_smacks__tx_acked_stanzas',
      'host',
      'Number of stanzas that a client acknowledged at one time.',
    ),
    histogram(
      'prosody_mod_smacks__tx_dropped_stanzas',
      'host',
      'Number of stanzas that the client had not acknowledged when its session ended.',
      {
        watch:
          'If `_sum` rises, stanzas do not reach clients. Prosody then stores messages for the user, or returns them to the sender.',
      },
    ),
    counter(
      'prosody_mod_csi__changes_events',
      'host csi_state',
      'Number of times that clients reported to be active or inactive.',
      { since: '13.0', defect: 'Prosody creates a series with its first event.' },
    ),
    gauge(
      'prosody_mod_csi__state_sessions',
      'host csi_state',
      'Number of sessions by client state: active, inactive, or flushing while Prosody sends held stanzas.',
      {
        since: '13.0',
        defect: 'Clients that never reported a state are not included. Components have no series.',
      },
    ),
    histogram(
      'prosody_mod_csi_simple__buffer_hold_seconds',
      'host',
      'Time that stanzas for an inactive client were held.',
      {
        watch:
          'If most times are short, something keeps waking phones. `prosody_mod_csi_simple__flushes_total` shows the reasons.',
      },
    ),
    counter(
      'prosody_mod_csi_simple__flushes',
      'host reason',
      'Number of times that Prosody sent the held stanzas of an inactive client, by reason.',
      {
        watch: 'Look for the most frequent reason: each flush costs battery on a phone.',
        defect: 'Prosody creates a series with its first event.',
      },
    ),
    histogram(
      'prosody_mod_csi_simple__flush_stanza_count',
      'host',
      'Number of held stanzas that Prosody sent to an inactive client at one time.',
      { since: '13.0' },
    ),
  ],
}
