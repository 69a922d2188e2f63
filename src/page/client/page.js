// This script runs on the status page. It draws the charts, applies server-sent events, and copies the lines
// for prometheus.yml.

/**
 * The script of the chart library uPlot runs before this script, and defines this global variable.
 *
 * @type {{ uPlot: typeof import('uplot') }}
 */
const { uPlot } = /** @type {any} */ (globalThis)

/**
 * The values of all charts in the selected range, as src/page/chart-columns.ts creates them. Times are in seconds.
 *
 * @typedef {(number | null)[]} Column
 * @typedef {{ average: Column, minimum?: Column, maximum?: Column }} TrackColumns
 * @typedef {{ from: number, to: number, step: number, times: number[], tracks: Record<string, TrackColumns> }} ChartColumns
 */

const MINUTE_S = 60
const DAY_S = 86_400
/** The chart library treats this number of days as a month of the calendar. */
const MONTH_S = 30 * DAY_S
/** The steps between the labels of the time axis, in seconds: from a minute to half a year. */
const TIME_STEPS_S = [
  ...[1, 2, 5, 10, 15, 30, 60, 120, 180, 360, 720].map((minutes) => minutes * MINUTE_S),
  ...[1, 2, 5, 7, 14].map((days) => days * DAY_S),
  ...[1, 2, 3, 6].map((months) => months * MONTH_S),
]
/** The shortest period that a chart shows, in seconds. */
const MIN_SPAN_S = 300
/** The height of a chart, in pixels. */
const CHART_HEIGHT = 150
/** The number of points by which each key moves the cursor of a chart. */
const KEY_STEPS = new Map([
  ['ArrowLeft', -1],
  ['ArrowDown', -1],
  ['ArrowRight', 1],
  ['ArrowUp', 1],
  ['PageUp', -20],
  ['PageDown', 20],
  ['Home', -Infinity],
  ['End', Infinity],
])
const RETRY_MS = 10_000

/** The longest time after which the values are loaded again. With shorter steps, this happens after each step. */
const MAX_AGE_MS = 60_000
const LOAD_TIMEOUT_MS = 30_000

/** @param {Intl.DateTimeFormatOptions} options */
const createTimeFormat = (options) => {
  const format = new Intl.DateTimeFormat('en-GB', { hourCycle: 'h23', ...options })
  return (/** @type {number} */ seconds) => format.format(seconds * 1000)
}
const formatHour = createTimeFormat({ hour: '2-digit', minute: '2-digit' })
const formatDay = createTimeFormat({ day: 'numeric', month: 'short' })
const formatMonth = createTimeFormat({ month: 'short', year: 'numeric' })
const formatClock = createTimeFormat({ timeStyle: 'medium' })
const formatDate = createTimeFormat({ dateStyle: 'medium' })
const formatDateAndTime = createTimeFormat({ dateStyle: 'medium', timeStyle: 'short' })
const number = new Intl.NumberFormat('en', { maximumSignificantDigits: 3 })

const BYTE_UNITS = ['bytes', 'KB', 'MB', 'GB', 'TB']

/**
 * Formats a number of bytes as src/page/format-values.ts does. One KB is 1024 bytes.
 *
 * @param {number} bytes
 */
function formatBytes(bytes) {
  if (bytes === 0) return '0'
  let [value, unit] = [bytes, 0]
  while (value >= 1000 && unit < BYTE_UNITS.length - 1) [value, unit] = [value / 1024, unit + 1]
  return `${number.format(value)} ${BYTE_UNITS[unit]}`
}

/**
 * How the values of a chart are written. The axis always includes the value `top`, so that noise in very small values
 * does not look large. `steps` are the possible distances of two labels, if they are special.
 *
 * @typedef {{ format: (value: number) => string, top: number, steps?: number[] }} ValueFormat
 * @type {Record<'number' | 'bytes' | 'percent', ValueFormat>}
 */
const VALUE_FORMATS = {
  number: { format: (value) => number.format(value), top: 1 },
  bytes: {
    format: formatBytes,
    top: 1024 ** 2,
    steps: [1, 2, 3, 4].flatMap((power) =>
      [1, 2, 5, 10, 20, 50, 100, 200, 500].map((count) => count * 1024 ** power),
    ),
  },
  percent: { format: (value) => `${number.format(value * 100)} %`, top: 0.01 },
}

/** @type {ChartColumns} */
let columns = { from: 0, to: 0, step: 1, times: [], tracks: {} }
const charts = [.../** @type {NodeListOf<HTMLElement>} */ (document.querySelectorAll('.plot'))].map(
  createChart,
)

/**
 * Formats the time of a value, with the precision that its step allows.
 *
 * @param {number} seconds
 */
function formatMoment(seconds) {
  if (columns.step >= DAY_S) return formatDate(seconds)
  if (columns.step > MINUTE_S) return formatDateAndTime(seconds)
  return formatClock(seconds)
}

/**
 * Formats the labels of the time axis.
 *
 * @param {number[]} times
 * @param {number} step The distance of two labels.
 */
function formatTimeLabels(times, step) {
  return times.map((seconds) => {
    if (step >= MONTH_S) return formatMonth(seconds)
    return step >= DAY_S || formatHour(seconds) === '00:00'
      ? formatDay(seconds)
      : formatHour(seconds)
  })
}

/**
 * Creates the chart in an element with the class `plot`. The element has the names of its tracks as attributes.
 * For the keyboard and screen readers, the element is a slider.
 *
 * @param {HTMLElement} plot
 */
function createChart(plot) {
  const tracks = plot.dataset.tracks?.split(' ') ?? []
  const names = plot.dataset.names?.split('|') ?? []
  const name = /** @type {keyof typeof VALUE_FORMATS} */ (plot.dataset.format)
  const valueFormat = VALUE_FORMATS[name]
  const { format } = valueFormat
  const readout = plot.parentElement?.querySelector('.readout')
  /** @type {import('uplot') | undefined} */
  let chart
  let drawnSeries = ''

  /** @param {number} index */
  const describePoint = (index) => {
    const values = tracks.flatMap((track, i) => {
      const { average, minimum, maximum } = columns.tracks[track] ?? {}
      const value = average?.[index] ?? null
      if (value === null) return []
      const [low, high] = [minimum?.[index] ?? value, maximum?.[index] ?? value]
      const limits = low < high ? ` (${format(low)} to ${format(high)})` : ''
      return `${names[i]} ${format(value)}${limits}`
    })
    return `${formatMoment(columns.times[index] ?? 0)}: ${values.join(', ') || 'no data'}`
  }

  /** @param {import('uplot')} u */
  function showCursor({ cursor: { idx } }) {
    const last = columns.times.length - 1
    if (readout) readout.textContent = typeof idx === 'number' ? describePoint(idx) : ''
    plot.ariaValueMax = String(Math.max(last, 0))
    plot.ariaValueNow = String(idx ?? last)
    plot.ariaValueText = describePoint(idx ?? last)
  }

  /** @param {KeyboardEvent} event */
  function moveCursor(event) {
    const step = KEY_STEPS.get(event.key)
    if (step === undefined || !chart) return
    event.preventDefault()
    const last = columns.times.length - 1
    const index = Math.min(Math.max((chart.cursor.idx ?? last) + step, 0), last)
    chart.setCursor({ left: chart.valToPos(columns.times[index] ?? 0, 'x'), top: 0 })
  }

  plot.setAttribute('role', 'slider')
  plot.ariaLabel = `${plot.dataset.title}: choose a point in time`
  plot.ariaValueMin = '0'
  plot.ariaValueNow = '0'
  plot.ariaValueText = 'no data yet'
  plot.addEventListener('keydown', moveCursor)
  plot.addEventListener('blur', () => chart?.setCursor({ left: -10, top: -10 }))
  const resize = () => {
    // A hidden element has no width.
    if (plot.clientWidth > 0) chart?.setSize({ width: plot.clientWidth, height: CHART_HEIGHT })
  }
  new ResizeObserver(resize).observe(plot)

  return {
    draw() {
      const series = listSeries(tracks)
      // A line needs two points.
      const isDrawn = series.length > 0 && columns.times.length > 1
      plot.hidden = !isDrawn
      plot.tabIndex = isDrawn ? 0 : -1
      if (!isDrawn) return
      const lines = series.map(({ line, edge }) => [line, edge])
      // In another range, the cursor would be at an unrelated time, so the chart is created again.
      const description = JSON.stringify([columns.step, lines])
      if (description !== drawnSeries) this.destroy()
      drawnSeries = description
      if (!chart) {
        const options = createChartOptions(plot.clientWidth, series, valueFormat, showCursor)
        chart = new uPlot(options, [[], ...series.map(() => [])], plot)
      }
      chart.setData([columns.times, ...series.map(({ values }) => values)])
      showCursor(chart)
    },
    /** Removes the chart. The next call of `draw` creates it again with the current colours of the page. */
    destroy() {
      chart?.destroy()
      chart = undefined
    },
  }
}

/**
 * A series of a chart: the line of the averages, or an edge of the area from the minimum to the maximum. `line` is the
 * number of the line, which selects its colour in page.css.
 *
 * @typedef {{ line: number, edge: boolean, values: Column }} Series
 */

/**
 * Lists the series of a chart. The areas come first, so that the lines are above them. The maximum comes before the
 * minimum.
 *
 * @param {string[]} tracks
 * @returns {Series[]}
 */
function listSeries(tracks) {
  const known = tracks.flatMap((track, i) => {
    const values = columns.tracks[track]
    return values ? [{ line: i + 1, ...values }] : []
  })
  return [
    ...known.flatMap(({ line, minimum, maximum }) =>
      minimum && maximum ? [maximum, minimum].map((values) => ({ line, edge: true, values })) : [],
    ),
    ...known.map(({ line, average }) => ({ line, edge: false, values: average })),
  ]
}

/**
 * @param {number} width The width of the chart, in pixels.
 * @param {Series[]} series
 * @param {ValueFormat} valueFormat
 * @param {(u: import('uplot')) => void} onCursor
 * @returns {import('uplot').Options}
 */
function createChartOptions(width, series, { format, top, steps }, onCursor) {
  const style = getComputedStyle(document.documentElement)
  const colour = (/** @type {string} */ name) => style.getPropertyValue(name).trim()
  const axis = {
    stroke: colour('--quiet'),
    font: `12px ${style.fontFamily}`,
    ticks: { show: false },
  }
  const hasAreas = series.some(({ edge }) => edge)
  return {
    width,
    height: CHART_HEIGHT,
    padding: [8, 18, 0, 0],
    legend: { show: false },
    cursor: {
      y: false,
      drag: { x: false, y: false },
      sync: { key: 'page' },
      // The cursor shows no points on the edges of the areas.
      dataIdx: (_, i, index) =>
        series[i - 1]?.edge ? /** @type {number} */ (/** @type {unknown} */ (null)) : index,
    },
    scales: {
      x: { range: () => [Math.min(columns.from, columns.to - MIN_SPAN_S), columns.to] },
      y: { range: (_, __, max) => [0, Math.max(max * 1.1, top)] },
    },
    axes: [
      {
        ...axis,
        grid: { show: false },
        size: 28,
        space: 64,
        // The labels have no seconds, so two labels must not be in the same minute.
        incrs: TIME_STEPS_S,
        values: (_, times, __, ___, step) => formatTimeLabels(times, step),
      },
      {
        ...axis,
        grid: { stroke: colour('--edge'), width: 1 },
        size: 54,
        space: 36,
        ...(steps && { incrs: steps }),
        values: (_, values) => values.map(format),
      },
    ],
    series: [
      {},
      ...series.map(({ line, edge }, i) => ({
        ...(!edge && { stroke: colour(`--line-${line}`) }),
        // Without areas, the area below the first line of a chart is filled.
        ...(i === 0 && !hasAreas && { fill: `${colour('--line-1')}14` }),
        width: 1.75,
        points: { show: false },
      })),
    ],
    bands: series.flatMap(({ line, edge }, i) =>
      edge && i % 2 === 0
        ? [
            {
              series: /** @type {[number, number]} */ ([i + 1, i + 2]),
              fill: `${colour(`--line-${line}`)}33`,
            },
          ]
        : [],
    ),
    hooks: { setCursor: [onCursor] },
  }
}

function drawCharts() {
  for (const chart of charts) chart.draw()
}

/**
 * Changes the children of the node `current` to those of `updated`. If both have the same number of children,
 * unchanged nodes stay in the page, so that they keep the keyboard focus and selected text.
 *
 * @param {ParentNode & Node} current
 * @param {ParentNode & Node} updated
 */
function updateChildren(current, updated) {
  const [before, after] = [[...current.childNodes], [...updated.childNodes]]
  if (before.length !== after.length) {
    current.replaceChildren(...after)
    return
  }
  before.forEach((node, i) => {
    const next = /** @type {ChildNode} */ (after[i])
    if (node instanceof Element && next instanceof Element && node.nodeName === next.nodeName) {
      for (const { name } of [...node.attributes]) {
        // The attribute `open` says that the reader has opened an element <details>.
        if (!next.hasAttribute(name) && name !== 'open') node.removeAttribute(name)
      }
      for (const { name, value } of next.attributes) {
        if (node.getAttribute(name) !== value) node.setAttribute(name, value)
      }
      updateChildren(node, next)
    } else if (node.nodeName !== next.nodeName) node.replaceWith(next)
    else if (node.nodeValue !== next.nodeValue) node.nodeValue = next.nodeValue
  })
}

/**
 * Shows times in the time zone of the reader.
 *
 * @param {ParentNode} root
 */
function localizeTimes(root) {
  for (const element of root.querySelectorAll('time')) {
    const format = element.hasAttribute('data-clock') ? formatClock : formatDateAndTime
    element.textContent = format(Date.parse(element.dateTime) / 1000)
  }
}

/**
 * Updates the parts of the page that changed.
 *
 * @param {Record<string, string>} parts HTML by the id of the element.
 */
function updateParts(parts) {
  for (const [id, html] of Object.entries(parts)) {
    const element = document.getElementById(id)
    const template = document.createElement('template')
    template.innerHTML = html
    localizeTimes(template.content)
    if (element) updateChildren(element, template.content)
  }
  const state = document.querySelector('h1')?.textContent ?? ''
  document.title = `${state} – Prosody Exporter`
}

/**
 * @param {string} path The URL of the values, without the range.
 * @param {string} range
 * @param {AbortSignal} signal
 * @returns {Promise<ChartColumns & { parts: Record<string, string> }>}
 */
async function fetchRange(path, range, signal) {
  const url = new URL(path, document.baseURI)
  url.searchParams.set('range', range)
  const response = await fetch(url, { signal })
  /** @type {unknown} */
  const body = response.ok ? await response.json() : undefined
  if (body) return /** @type {ChartColumns & { parts: Record<string, string> }} */ (body)
  const isText = response.headers.get('Content-Type')?.startsWith('text/plain')
  const text = isText ? (await response.text()).slice(0, 200).trim() : ''
  throw new Error(`The exporter returned status ${response.status}. ${text}`)
}

/**
 * Says why `fetchRange` failed. The functions fetch() and json() throw errors of some types, whose texts depend on the
 * browser.
 *
 * @param {unknown} error
 */
function describeFailure(error) {
  if (error instanceof SyntaxError) return 'The response is not from the exporter.'
  if (error instanceof TypeError) return 'No connection to the exporter.'
  if (error instanceof DOMException) return 'The exporter did not answer in time.'
  return error instanceof Error ? error.message : String(error)
}

/**
 * Loads the values of the selected range: when a range is selected, and later when they are old and the page is visible.
 * The overview has no history.
 *
 * @param {HTMLElement | null} section
 */
function createHistory(section) {
  const links = [...(section?.querySelectorAll('a[data-range]') ?? [])]
  const problem = document.getElementById('history-problem')
  /** @type {AbortController | undefined} */
  let loading
  let isStale = true
  let isWaiting = false
  let loadedAtMs = 0

  async function load() {
    loading?.abort()
    const controller = new AbortController()
    loading = controller
    isStale = false
    const timer = setTimeout(() => {
      controller.abort()
    }, LOAD_TIMEOUT_MS)
    try {
      const range = links.find((link) => link.ariaCurrent === 'true')?.getAttribute('data-range')
      const path = section?.dataset.history ?? ''
      const { parts, ...loaded } = await fetchRange(path, range ?? '', controller.signal)
      if (loading !== controller) return
      columns = loaded
      updateParts(parts)
      showProblem('')
      loadedAtMs = performance.now()
      drawCharts()
    } catch (error) {
      if (loading !== controller) return
      showProblem(describeFailure(error))
      isStale = true
      isWaiting = true
      setTimeout(() => {
        isWaiting = false
        refresh()
      }, RETRY_MS)
    } finally {
      clearTimeout(timer)
      if (loading === controller) {
        loading = undefined
        section?.removeAttribute('aria-busy')
      }
    }
  }

  /** @param {string} text */
  function showProblem(text) {
    section?.classList.toggle('failed', text !== '')
    const message = text && `The charts cannot be loaded. ${text} The page retries.`
    if (problem && problem.textContent !== message) problem.textContent = message
  }

  function refresh() {
    const maxAgeMs = Math.min(columns.step * 1000, MAX_AGE_MS)
    const isOld = isStale || performance.now() - loadedAtMs >= maxAgeMs
    const isPossible = !loading && !isWaiting && document.visibilityState === 'visible'
    if (section && isOld && isPossible) void load()
  }

  for (const link of links) {
    link.addEventListener('click', (event) => {
      // With such a key, the browser opens a new tab.
      const { ctrlKey, metaKey, shiftKey, altKey } = /** @type {MouseEvent} */ (event)
      if (ctrlKey || metaKey || shiftKey || altKey) return
      event.preventDefault()
      for (const each of links) each.ariaCurrent = each === link ? 'true' : null
      history.replaceState(null, '', /** @type {HTMLAnchorElement} */ (link).href)
      section?.setAttribute('aria-busy', 'true')
      void load()
    })
  }
  document.addEventListener('visibilitychange', refresh)
  return {
    refresh,
    /** Loads the values again soon, because something changed. */
    invalidate() {
      isStale = true
      refresh()
    },
  }
}

function connect() {
  const link = /** @type {HTMLElement} */ (document.getElementById('link'))
  const source = new EventSource(document.body.dataset.events ?? '')
  source.addEventListener('parts', (event) => {
    const state = () => document.querySelector('h1')?.className
    const before = state()
    /** @type {unknown} */
    const parts = JSON.parse(String(event.data))
    updateParts(/** @type {Record<string, string>} */ (parts))
    if (state() === before) pageHistory.refresh()
    else pageHistory.invalidate()
  })
  source.onopen = () => {
    if (link.className === 'lost') pageHistory.invalidate()
    link.textContent = 'Live'
    link.className = 'live'
  }
  source.onerror = () => {
    link.textContent = 'No connection to the exporter. Retrying.'
    link.className = 'lost'
    // The browser does not reconnect after a response with an error status, so this script does.
    if (source.readyState === EventSource.CLOSED) setTimeout(connect, RETRY_MS)
  }
}

function showCopyButton() {
  const button = /** @type {HTMLButtonElement} */ (document.getElementById('copy'))
  const job = /** @type {HTMLElement} */ (document.getElementById('job'))
  button.hidden = false
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(job.textContent)
      button.textContent = 'Copied'
    } catch {
      // A page can use the clipboard only if it was loaded over TLS or from the machine of the browser.
      // Otherwise the text is selected, so that the reader can copy it.
      getSelection()?.selectAllChildren(job)
      button.textContent = 'Selected. Press Ctrl+C.'
    }
    setTimeout(() => {
      button.textContent = 'Copy'
    }, 3000)
  }
  button.addEventListener('click', () => void copy())
}

matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => {
  for (const chart of charts) chart.destroy()
  drawCharts()
})
localizeTimes(document)
showCopyButton()
const pageHistory = createHistory(document.getElementById('history'))
pageHistory.refresh()
connect()
