import { html } from 'hono/html'
import type { Range } from '../history/range.js'
import type { Html } from './format-values.js'

const UNITS: Readonly<Record<string, string>> = { h: 'hour', d: 'day', y: 'year' }

/** Returns the name of a range, for example `4 hours` for `4h`. */
function nameRange(id: string): string {
  const [count, unit] = [Number.parseInt(id, 10), UNITS[id.at(-1)!] ?? '']
  return `${count} ${unit}${count === 1 ? '' : 's'}`
}

/**
 * Renders a link for each range. The links work without JavaScript, and a link can be sent to other people. The script
 * client/page.js changes the charts without loading the page again.
 *
 * @param server The name of the server in the URL; `undefined` if only one server is configured.
 */
export function renderRangeLinks(
  ranges: readonly Range[],
  selected: Range,
  server: string | undefined,
): Html {
  const createUrl = (range: Range) => {
    const query = new URLSearchParams({ ...(server !== undefined && { server }), range: range.id })
    return `./?${query.toString()}`
  }
  return html`<nav class="ranges" aria-label="Time shown in the charts">
    <ul role="list">
      ${ranges.map(
        (range) =>
          html`<li>
            <a
              href="${createUrl(range)}"
              data-range="${range.id}"
              ${range.id === selected.id ? 'aria-current=true' : ''}
              >${nameRange(range.id)}</a
            >
          </li>`,
      )}
    </ul>
  </nav>`
}
