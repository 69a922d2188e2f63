import { html } from 'hono/html'
import { isUrgent, type AttentionEntry } from './attention.js'
import { formatCount, type Html } from './format-values.js'

/** Many domains can have problems at the same time. */
const MAX_SHOWN = 20

/** Renders the list of what needs attention; nothing if it is empty. */
export function renderAttentionList(entries: readonly AttentionEntry[]): Html {
  if (entries.length === 0) return html``
  const omitted = entries.length - MAX_SHOWN
  return html`<section aria-labelledby="attention-title">
    <h2 id="attention-title">Needs attention</h2>
    <ul>
      ${entries.slice(0, MAX_SHOWN).map(
        (entry) =>
          html`<li class="${entry.severity}">
            <span class="visually-hidden">${isUrgent(entry) ? 'Urgent:' : 'Warning:'}</span>
            <b>${entry.cause}</b> ${entry.remedy}
          </li>`,
      )}
    </ul>
    ${omitted > 0 ? html`<p class="quiet">Not shown: ${formatCount(omitted, 'problem')}.</p>` : ''}
  </section>`
}
