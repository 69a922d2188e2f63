import { addCount } from '../metrics/counts.js'
import { family, type Family } from '../metrics/family.js'

export type NotificationCounts = {
  /** Counts a notification by the HTTP status of the response to it. */
  readonly add: (status: number) => void
  readonly createFamily: () => Family
}

export function createNotificationCounts(): NotificationCounts {
  const counts = new Map<string, number>()
  return {
    add(status) {
      addCount(counts, getResult(status), 1)
    },
    createFamily: () =>
      family(
        'counter',
        'prosody_exporter_notifications',
        'Number of notifications of Alertmanager, by the response to them.',
        ['accepted', 'deferred', 'invalid', 'unauthorized'].map((result) => ({
          labels: { result },
          value: counts.get(result) ?? 0,
        })),
      ),
  }
}

function getResult(status: number): string {
  if (status < 400) return 'accepted'
  if (status === 401) return 'unauthorized'
  return status < 500 ? 'invalid' : 'deferred'
}
