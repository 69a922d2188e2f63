// This script runs on the status page. It draws the charts, applies server-sent events, and copies the lines
// for prometheus.yml.

/**
 * The script of the chart library uPlot runs before this script, and defines this global variable.
 *
 * @type {{ uPlot: typeof import('uplot') }}
 */
const { uPlot } = /** @type {any} */ (globalThis)

/**
 * The points of all charts: a column of times in seconds, and a column of values for each track, for example
 * `clients`. All columns have the same length.
 *
 * @typedef {{ times: number[] } & Record<string, (number | null)[] | undefined>} Columns
 */

// The page keeps as many points as the exporter does in src/history/history.ts.
const MAX_POINTS = 960
/** The steps between the labels of the time axis, in seconds: from a minute to a day. */
const TIME_STEPS_S = [1, 2, 5, 10, 15, 30, 60, 120, 180, 360, 720, 1440].map(
  (minutes) => minutes * 60,
)
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

const hourAndMinute = new Intl.DateTimeFormat('en-GB', {
  hour: '2-digit',
  minute: '2-digit',
  hourCycle: 'h23',
})
const timeOfDay = new Intl.DateTimeFormat('en-GB', { timeStyle: 'medium' })
const dateAndTime = new Intl.DateTimeFormat('en-GB', { dateStyle: 'medium', timeStyle: 'short' })
const number = new Intl.NumberFormat('en', { maximumSignificantDigits: 3 })

/** @type {Columns} */
let history = { times: [] }
const charts = [.../** @type {NodeListOf<HTMLElement>} */ (document.querySelectorAll('.plot'))].map(
  createChart,
)

/**
 * Creates the chart in an element with the class `plot`. The element has the names of its tracks as attributes.
 * For the keyboard and screen readers, the element is a slider.
 *
 * @param {HTMLElement} plot
 */
function createChart(plot) {
  const tracks = plot.dataset.tracks?.split(' ') ?? []
  const names = plot.dataset.names?.split('|') ?? []
  const readout = plot.parentElement?.querySelector('.readout')
  /** @type {import('uplot') | undefined} */
  let chart
  let drawnTracks = ''

  /** @param {number} index */
  const describePoint = (index) => {
    const values = tracks.flatMap((track, i) => {
      const value = history[track]?.[index]
      return value === undefined || value === null ? [] : `${names[i]} ${number.format(value)}`
    })
    const time = timeOfDay.format((history.times[index] ?? 0) * 1000)
    return `${time}: ${values.join(', ') || 'no data'}`
  }

  /** @param {import('uplot')} u */
  function showCursor({ cursor: { idx } }) {
    const last = history.times.length - 1
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
    const last = history.times.length - 1
    const index = Math.min(Math.max((chart.cursor.idx ?? last) + step, 0), last)
    chart.setCursor({ left: chart.valToPos(history.times[index] ?? 0, 'x'), top: 0 })
  }

  plot.setAttribute('role', 'slider')
  plot.ariaLabel = `${plot.dataset.title}: choose a point in time`
  plot.ariaValueMin = '0'
  plot.ariaValueNow = '0'
  plot.ariaValueText = 'no data yet'
  plot.addEventListener('keydown', moveCursor)
  plot.addEventListener('blur', () => chart?.setCursor({ left: -10, top: -10 }))
  const resize = () => chart?.setSize({ width: plot.clientWidth, height: CHART_HEIGHT })
  new ResizeObserver(resize).observe(plot)

  return {
    draw() {
      const known = tracks.filter((track) => history[track]?.some((value) => value !== null))
      // A line needs two points.
      const isDrawn = known.length > 0 && history.times.length > 1
      plot.hidden = !isDrawn
      plot.tabIndex = isDrawn ? 0 : -1
      if (!isDrawn) return
      if (known.join() !== drawnTracks) this.destroy()
      drawnTracks = known.join()
      if (!chart) {
        const lines = known.map((track) => tracks.indexOf(track) + 1)
        const options = createChartOptions(plot.clientWidth, lines, showCursor)
        chart = new uPlot(options, [[], ...known.map(() => [])], plot)
      }
      chart.setData([history.times, ...known.map((track) => history[track] ?? [])])
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
 * @param {number} width The width of the chart, in pixels.
 * @param {number[]} lines The number of each line, which selects its colour in page.css.
 * @param {(u: import('uplot')) => void} onCursor
 * @returns {import('uplot').Options}
 */
function createChartOptions(width, lines, onCursor) {
  const style = getComputedStyle(document.documentElement)
  const colour = (/** @type {string} */ name) => style.getPropertyValue(name).trim()
  const axis = {
    stroke: colour('--quiet'),
    font: `12px ${style.fontFamily}`,
    ticks: { show: false },
  }
  return {
    width,
    height: CHART_HEIGHT,
    padding: [8, 18, 0, 0],
    legend: { show: false },
    cursor: { y: false, drag: { x: false, y: false }, sync: { key: 'page' } },
    scales: {
      x: { range: (_, min, max) => [Math.min(min, max - MIN_SPAN_S), max] },
      y: { range: (_, __, max) => [0, Math.max(max * 1.1, 1)] },
    },
    axes: [
      {
        ...axis,
        grid: { show: false },
        size: 28,
        space: 64,
        // The labels have no seconds, so two labels must not be in the same minute.
        incrs: TIME_STEPS_S,
        values: (_, times) => times.map((seconds) => hourAndMinute.format(seconds * 1000)),
      },
      {
        ...axis,
        grid: { stroke: colour('--edge'), width: 1 },
        size: 46,
        space: 36,
        values: (_, values) => values.map((value) => number.format(value)),
      },
    ],
    series: [
      {},
      ...lines.map((line, i) => ({
        stroke: colour(`--line-${line}`),
        // Only the area below the first line of a chart is filled.
        ...(i === 0 && { fill: `${colour('--line-1')}14` }),
        width: 1.75,
        points: { show: false },
      })),
    ],
    hooks: { setCursor: [onCursor] },
  }
}

function drawCharts() {
  for (const chart of charts) chart.draw()
}

/**
 * Appends points to the history.
 *
 * @param {Columns} added
 */
function appendPoints(added) {
  const names = new Set([...Object.keys(history), ...Object.keys(added)])
  /** @param {Columns} columns @param {string} name */
  const column = (columns, name) => columns[name] ?? columns.times.map(() => null)
  history = /** @type {Columns} */ (
    Object.fromEntries(
      [...names].map((name) => [
        name,
        [...column(history, name), ...column(added, name)].slice(-MAX_POINTS),
      ]),
    )
  )
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
    const format = element.hasAttribute('data-clock') ? timeOfDay : dateAndTime
    element.textContent = format.format(new Date(element.dateTime))
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

/** @param {MessageEvent} event @returns {unknown} */
function parseData(event) {
  return JSON.parse(String(event.data))
}

function connect() {
  const link = /** @type {HTMLElement} */ (document.getElementById('link'))
  const source = new EventSource(document.body.dataset.events ?? '')
  source.addEventListener('history', (event) => {
    history = /** @type {Columns} */ (parseData(event))
    drawCharts()
  })
  source.addEventListener('points', (event) => {
    appendPoints(/** @type {Columns} */ (parseData(event)))
    drawCharts()
  })
  source.addEventListener('parts', (event) => {
    updateParts(/** @type {Record<string, string>} */ (parseData(event)))
  })
  source.onopen = () => {
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
drawCharts()
connect()
