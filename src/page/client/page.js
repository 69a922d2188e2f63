/** The page in the browser: curves, what is new by server-sent events, and a button to copy. */

/**
 * What the script of uPlot brings, which stands before this one.
 *
 * @type {{ uPlot: typeof import('uplot') }}
 */
const { uPlot } = /** @type {any} */ (globalThis)

/** @typedef {{ times: number[] } & Record<string, (number | null)[] | undefined>} Columns */

// As many as the server keeps.
const MAX_POINTS = 960
const MIN_SPAN_S = 300
const HEIGHT = 150
/** Of the keys that move along a curve, by points. */
const STEPS = new Map([
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

const time = new Intl.DateTimeFormat('en-GB', {
  hour: '2-digit',
  minute: '2-digit',
  hourCycle: 'h23',
})
const seconds = new Intl.DateTimeFormat('en-GB', { timeStyle: 'medium' })
const moment = new Intl.DateTimeFormat('en-GB', { dateStyle: 'medium', timeStyle: 'short' })
const number = new Intl.NumberFormat('en', { maximumSignificantDigits: 3 })

/** @type {Columns} */
let curves = { times: [] }
const charts = [.../** @type {NodeListOf<HTMLElement>} */ (document.querySelectorAll('.plot'))].map(
  createChart,
)

/** @param {HTMLElement} plot */
function createChart(plot) {
  const tracks = plot.dataset.tracks?.split(' ') ?? []
  const names = plot.dataset.names?.split('|') ?? []
  const readout = plot.parentElement?.querySelector('.readout')
  /** @type {import('uplot') | undefined} */
  let chart
  let shown = ''

  /** @param {number} at */
  const describe = (at) => {
    const values = tracks.map((track, i) => ({ name: names[i], value: curves[track]?.[at] }))
    const told = values.filter(({ value }) => value !== undefined && value !== null)
    const text = told.map(({ name, value }) => `${name} ${number.format(value ?? 0)}`).join(', ')
    return `${seconds.format((curves.times[at] ?? 0) * 1000)}: ${text || 'not known'}`
  }

  /** @param {import('uplot')} u */
  function point({ cursor: { idx } }) {
    const at = idx ?? curves.times.length - 1
    if (readout) readout.textContent = typeof idx === 'number' ? describe(idx) : ''
    plot.ariaValueMax = String(Math.max(curves.times.length - 1, 0))
    plot.ariaValueNow = String(at)
    plot.ariaValueText = describe(at)
  }

  /** @param {string[]} known */
  function make(known) {
    const style = getComputedStyle(document.documentElement)
    const colour = (/** @type {string} */ name) => style.getPropertyValue(name).trim()
    const font = `12px ${style.fontFamily}`
    const axis = { stroke: colour('--quiet'), font, ticks: { show: false } }
    return new uPlot(
      {
        width: plot.clientWidth,
        height: HEIGHT,
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
            values: (_, at) => at.map((s) => time.format(s * 1000)),
          },
          {
            ...axis,
            grid: { stroke: colour('--edge'), width: 1 },
            size: 46,
            space: 36,
            values: (_, at) => at.map((value) => number.format(value)),
          },
        ],
        series: [
          {},
          ...known.map((track, i) => ({
            stroke: colour(`--line-${tracks.indexOf(track) + 1}`),
            // The first one stands on the ground.
            ...(i === 0 && { fill: `${colour('--line-1')}14` }),
            width: 1.75,
            points: { show: false },
          })),
        ],
        hooks: { setCursor: [point] },
      },
      [[], ...known.map(() => [])],
      plot,
    )
  }

  plot.setAttribute('role', 'slider')
  plot.ariaLabel = `${plot.dataset.title}: choose a point in time`
  plot.ariaValueMin = '0'
  plot.ariaValueNow = '0'
  plot.ariaValueText = 'nothing yet'
  plot.addEventListener('keydown', (event) => {
    const last = curves.times.length - 1
    const by = STEPS.get(event.key)
    if (by === undefined || !chart) return
    event.preventDefault()
    const to = (chart.cursor.idx ?? last) + by
    const at = curves.times[Math.min(Math.max(to, 0), last)] ?? 0
    chart.setCursor({ left: chart.valToPos(at, 'x'), top: 0 })
  })
  plot.addEventListener('blur', () => chart?.setCursor({ left: -10, top: -10 }))
  new ResizeObserver(() => chart?.setSize({ width: plot.clientWidth, height: HEIGHT })).observe(
    plot,
  )

  return {
    draw() {
      const known = tracks.filter((track) => curves[track]?.some((value) => value !== null))
      plot.hidden = known.length === 0
      plot.tabIndex = known.length === 0 ? -1 : 0
      if (known.length === 0) return
      if (known.join() !== shown) this.forget()
      shown = known.join()
      chart ??= make(known)
      chart.setData([curves.times, ...known.map((track) => curves[track] ?? [])])
      point(chart)
    },
    /** The next one is made anew, in the colours of then. */
    forget() {
      chart?.destroy()
      chart = undefined
    },
  }
}

function draw() {
  for (const chart of charts) chart.draw()
}

/** @param {Columns} fresh */
function append(fresh) {
  const names = new Set([...Object.keys(curves), ...Object.keys(fresh)])
  /** @param {Columns} columns @param {string} name */
  const column = (columns, name) => columns[name] ?? columns.times.map(() => null)
  curves = /** @type {Columns} */ (
    Object.fromEntries(
      [...names].map((name) => [
        name,
        [...column(curves, name), ...column(fresh, name)].slice(-MAX_POINTS),
      ]),
    )
  )
}

/**
 * Makes the old nodes like the fresh ones and keeps those that are alike, for the focus and what is
 * selected are in them.
 *
 * @param {ParentNode & Node} old
 * @param {ParentNode & Node} fresh
 */
function morph(old, fresh) {
  const [before, after] = [[...old.childNodes], [...fresh.childNodes]]
  if (before.length !== after.length) {
    old.replaceChildren(...after)
    return
  }
  before.forEach((node, i) => {
    const next = /** @type {ChildNode} */ (after[i])
    if (node instanceof Element && next instanceof Element && node.nodeName === next.nodeName) {
      for (const { name } of [...node.attributes])
        if (!next.hasAttribute(name)) node.removeAttribute(name)
      for (const { name, value } of next.attributes) {
        if (node.getAttribute(name) !== value) node.setAttribute(name, value)
      }
      morph(node, next)
    } else if (node.nodeName !== next.nodeName) node.replaceWith(next)
    else if (node.nodeValue !== next.nodeValue) node.nodeValue = next.nodeValue
  })
}

/** Times as they are where the page is read. @param {ParentNode} within */
function localize(within) {
  for (const element of within.querySelectorAll('time')) {
    const format = element.hasAttribute('data-clock') ? seconds : moment
    element.textContent = format.format(new Date(element.dateTime))
  }
}

/** @param {Record<string, string>} parts */
function show(parts) {
  for (const [id, html] of Object.entries(parts)) {
    const element = document.getElementById(id)
    const template = document.createElement('template')
    template.innerHTML = html
    localize(template.content)
    if (element) morph(element, template.content)
  }
  const state = document.querySelector('h1')?.textContent ?? ''
  document.title = `${state} – Prosody Exporter`
}

/** @param {MessageEvent} event @returns {unknown} */
function dataOf(event) {
  return JSON.parse(String(event.data))
}

function connect() {
  const link = /** @type {HTMLElement} */ (document.getElementById('link'))
  const source = new EventSource(document.body.dataset.events ?? '')
  source.addEventListener('history', (event) => {
    curves = /** @type {Columns} */ (dataOf(event))
    draw()
  })
  source.addEventListener('points', (event) => {
    append(/** @type {Columns} */ (dataOf(event)))
    draw()
  })
  source.addEventListener('parts', (event) => {
    show(/** @type {Record<string, string>} */ (dataOf(event)))
  })
  source.onopen = () => {
    link.textContent = 'Live'
    link.className = 'live'
  }
  source.onerror = () => {
    link.textContent = 'No connection to the exporter, trying again'
    link.className = 'lost'
    // Refused: the browser gives up, and we do not.
    if (source.readyState === EventSource.CLOSED) setTimeout(connect, RETRY_MS)
  }
}

function offerCopy() {
  const button = /** @type {HTMLButtonElement} */ (document.getElementById('copy'))
  const job = /** @type {HTMLElement} */ (document.getElementById('job'))
  button.hidden = false
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(job.textContent)
      button.textContent = 'Copied'
    } catch {
      // Browsers let only pages copy that came by TLS or from this machine.
      getSelection()?.selectAllChildren(job)
      button.textContent = 'Selected, press Ctrl-C'
    }
    setTimeout(() => {
      button.textContent = 'Copy'
    }, 3000)
  }
  button.addEventListener('click', () => void copy())
}

matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => {
  for (const chart of charts) chart.forget()
  draw()
})
localize(document)
offerCopy()
draw()
connect()
