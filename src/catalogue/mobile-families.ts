import { counter, gauge, histogram, type Area } from './documented-family.js'

export const mobile: Area = {
  title: 'Mobile clients (mod_smacks, mod_csi)',
  from: 'mod_smacks (XEP-0198), mod_csi and mod_csi_simple (XEP-0352).',
  since: '0.12',
  families: [
    counter(
      'prosody_mod_smacks__sessions_started',
      'host',
      'Sessions that turned stream management on, so that they survive a lost connection.',
    ),
    counter(
      'prosody_mod_smacks__sessions_expired',
      'host',
      'Sessions that waited to be resumed until their time was over.',
      { watch: 'A rise: clients lose connections and do not come back.' },
    ),
    counter(
      'prosody_mod_smacks__session_resumption_expired',
      'host',
      'Attempts to resume a session that was gone already.',
      { watch: 'A steady rate: raise `smacks_hibernation_time`.' },
    ),
    histogram(
      'prosody_mod_smacks__resumption_age_seconds',
      'host',
      'Time for which a session had been without a connection when it was resumed.',
      {
        watch: 'Most values near `smacks_hibernation_time`: raise it.',
        defect: 'Buckets are other ones on 0.12 (to 10 minutes) and 13.0 (to a day).',
      },
    ),
    counter(
      'prosody_mod_smacks__tx_queued_stanzas',
      'host',
      'Stanzas that were put into the queue of those not yet acknowledged.',
      { watch: 'As a rate it is about all that is sent to clients with stream management.' },
    ),
    histogram(
      'prosody_mod_smacks__tx_acked_stanzas',
      'host',
      'Stanzas that one acknowledgement of a client was for.',
    ),
    histogram(
      'prosody_mod_smacks__tx_dropped_stanzas',
      'host',
      "Stanzas still in the queue when a session ended for good; messages among them go to the user's offline storage or come back.",
      { watch: '`_sum` rising: stanzas do not reach clients.' },
    ),
    counter(
      'prosody_mod_csi__changes_events',
      'host csi_state',
      'Times that clients said they are now active or inactive.',
      { since: '13.0', defect: 'Series come into being with their first event.' },
    ),
    gauge(
      'prosody_mod_csi__state_sessions',
      'host csi_state',
      'Sessions by what the client last said: active, inactive, or flushing while held back stanzas are sent.',
      {
        since: '13.0',
        defect:
          'Clients that never said anything are in none of the states; on hosts that are components there is no series.',
      },
    ),
    histogram(
      'prosody_mod_csi_simple__buffer_hold_seconds',
      'host',
      'Time for which stanzas to an inactive client were held back.',
      { watch: 'Mostly short: something keeps waking phones, see `flushes` by reason.' },
    ),
    counter(
      'prosody_mod_csi_simple__flushes',
      'host reason',
      'Times that stanzas held back for an inactive client were sent, by reason.',
      {
        watch: 'Which reason leads: each costs battery on a phone.',
        defect: 'Series come into being with their first event.',
      },
    ),
    histogram(
      'prosody_mod_csi_simple__flush_stanza_count',
      'host',
      'Stanzas that had been held back for an inactive client when they were sent.',
      { since: '13.0' },
    ),
  ],
}
