import { hostname } from 'node:os'
import { findCertificateProblem } from '../../access/find-certificate-problem.js'
import type { Config, ServerConfig } from '../../config/read-config.js'
import { ConfigError, splitMessage } from '../../errors.js'
import { serverMask } from '../../log/mask.js'
import { formatPrometheusJobs, type PrometheusAccess } from '../../servers/prometheus-job.js'
import { readWebConfig } from '../../access/read-web-config.js'
import { shouldRequestCertificate } from '../../access/tls.js'
import type { Owner } from '../../control/socket-directories.js'
import { consultService, type Consultation } from './consult-service.js'
import { examineServer } from './examine-server.js'
import { COMPONENT_STEP, createReporter, type Finding } from './findings.js'
import { findPageUrl } from './page-url.js'
import { sendTest } from './send-test.js'
import { formatVerdict, judge, sumUp, type ServerVerdict } from './verdict.js'

const SHOW_PROSODY = '--show.prosody'
const SHOW_PROMETHEUS = '--show.prometheus'
const SEND_TEST = '--send-test'
const VERBOSE = '--verbose'

/** The flags that only doctor has. All other flags are settings of the exporter. */
export const DOCTOR_FLAGS: readonly string[] = [SHOW_PROSODY, SHOW_PROMETHEUS, SEND_TEST, VERBOSE]

/** The width of the column with the step, whose longest value is the name of a collector. */
const STEP_WIDTH = 17

// The running exporter answers doctor after at most four collections: those that already run, and two more. For the
// other checks, for example the comparison of clocks, doctor waits for OTHER_STEPS_MS.
const MAX_COLLECTIONS = 4
const OTHER_STEPS_MS = 30_000

const NOT_RUNNING = 'The exporter does not run on this machine. Start it, and open'

const SIGNS = { ok: 'ok    ', note: 'note  ', failed: 'FAILED' } as const

export type DoctorOptions = {
  readonly version: string
  readonly owner: Owner
  readonly print: (line: string) => void
  /** Whether systemd opens the sockets of the exporter, so that the listen addresses are not used. */
  readonly usesSystemdSocket: boolean
}

/**
 * `prosody-exporter doctor`: checks each step from the connection to the statistics of each server, and prints a verdict.
 * For a step that fails, it prints what to change. If a running exporter has a control socket for the component, that
 * exporter makes the checks. With `--show.prosody` or `--show.prometheus`, it instead prints lines for the configuration
 * of that program. With `--send-test`, it instead lets the running exporter send a test message.
 *
 * @param flags The flags that only doctor has.
 * @returns The exit code: 0 when no step failed, else 1.
 * @throws {ConfigError} if the configuration has no XMPP server.
 */
export async function doctorCommand(
  config: Config,
  flags: ReadonlySet<string>,
  options: DoctorOptions,
): Promise<0 | 1> {
  const { servers } = config
  const { print } = options
  if (servers.length === 0) {
    throw new ConfigError(
      'doctor: expected an XMPP server in the configuration, got only checks from outside. ' +
        'To check a domain, run "prosody-exporter outside DOMAIN".',
    )
  }
  if (flags.has(SHOW_PROSODY)) for (const server of servers) print(renderProsodyLines(server))
  if (flags.has(SHOW_PROMETHEUS)) {
    print(
      formatPrometheusJobs(config, choosePrometheusTarget(config), undefined, readAccess(config)),
    )
  }
  if (flags.has(SHOW_PROSODY) || flags.has(SHOW_PROMETHEUS)) return 0
  if (flags.has(SEND_TEST)) return await printTest(config, options)

  const verdicts = new Map<string, ServerVerdict>()
  let service: Consultation | undefined
  let runsElsewhere = false
  for (const server of servers) {
    const examined = await examine(server, config, { ...options, isVerbose: flags.has(VERBOSE) })
    verdicts.set(server.name, examined.verdict)
    service ??= examined.service
    runsElsewhere ||= examined.runsElsewhere
    if (servers.length > 1) print(`  ${formatVerdict(examined.verdict)}`)
  }
  const { url, certificateProblem } = service ?? describeExporter(config, options)
  if (certificateProblem !== undefined)
    print(formatLine('failed', 'certificate', splitMessage(certificateProblem).cause))
  const isBroken = [...verdicts.values()].some(({ state }) => state === 'broken')
  const hasFailed = isBroken || [...verdicts.values()].some(({ state }) => state === 'partial')
  const summary =
    servers.length > 1 ? sumUp(verdicts) : formatVerdict(verdicts.values().next().value!)
  if (certificateProblem !== undefined && !isBroken) print(`Not working: ${certificateProblem}`)
  else if (hasFailed || runsElsewhere || url === undefined) print(summary)
  else if (service) print(`${summary} Open ${url}`)
  else print(`${summary.replace(/^All good/, 'Prosody is ready')} ${NOT_RUNNING} ${url}`)
  return hasFailed || certificateProblem !== undefined ? 1 : 0
}

/** Lets the running exporter send a test message, and prints the result for each recipient. Returns the exit code. */
async function printTest(config: Config, { owner, print }: DoctorOptions): Promise<0 | 1> {
  const { isDelivered, verdict } = await sendTest(config, {
    owner,
    print: (result, text) => {
      print(formatLine(result, 'test message', text))
    },
  })
  print(verdict)
  return isDelivered ? 0 : 1
}

type Examination = {
  readonly verdict: ServerVerdict
  /** What the running exporter answered; `undefined` if doctor found none on this machine. */
  readonly service: Consultation | undefined
  /** Whether another program, perhaps an exporter on another machine, uses the component. */
  readonly runsElsewhere: boolean
}

/** Checks one server, prints the results, and returns the verdict. */
async function examine(
  server: ServerConfig,
  { collection }: Config,
  { version, owner, print, isVerbose }: DoctorOptions & { isVerbose: boolean },
): Promise<Examination> {
  const { name, xmpp } = server
  print(`${name === xmpp.domain ? '' : `${name}: `}${xmpp.domain} at ${xmpp.service}`)
  const mask = serverMask(xmpp.secret)
  const findings: Finding[] = []
  const show = (finding: Finding) => {
    const { step, result, weight } = finding
    const text = mask(finding.text)
    // The verdict repeats the first failure with its remedy.
    const isInVerdict = result === 'failed' && !findings.some(({ result }) => result === 'failed')
    findings.push({ ...finding, text })
    if (isVerbose || weight !== 'detail') {
      print(formatLine(result, step, isInVerdict ? splitMessage(text).cause : text))
    }
  }
  const report = createReporter(show)
  const timeoutMs = MAX_COLLECTIONS * (collection.timeoutMs + 1000) + OTHER_STEPS_MS
  const service = await consultService(server, { owner, version, timeoutMs }, report, show)
  const series = service ? service.series : await examineServer(server, version, report)
  const runsElsewhere = !service && findings.some(({ step }) => step === COMPONENT_STEP)
  return { verdict: judge(findings, series), service, runsElsewhere }
}

const formatLine = (result: Finding['result'], step: string, text: string) =>
  `  ${SIGNS[result]} ${step.padEnd(STEP_WIDTH)} ${text}`

/** Returns the URL of the exporter, and the problem of its certificate, according to the configuration of doctor. */
function describeExporter({ web }: Config, { usesSystemdSocket }: DoctorOptions): Consultation {
  const tls = web.configFile ? readWebConfig(web.configFile).tls : undefined
  return {
    url: usesSystemdSocket ? undefined : findPageUrl(web, tls !== undefined),
    certificateProblem: findCertificateProblem(tls, new Date()),
  }
}

/** Returns the address under which Prometheus reaches an exporter that listens on all addresses. */
function choosePrometheusTarget({ web: { listenAddresses } }: Config): string | undefined {
  const [first] = listenAddresses
  const isAll = first && 'port' in first && first.host === undefined
  return isAll ? `${hostname()}:${first.port}` : undefined
}

function readAccess({ web: { configFile } }: Config): PrometheusAccess | undefined {
  if (!configFile) return undefined
  const { tls, users, tokens } = readWebConfig(configFile)
  return {
    isEncrypted: tls !== undefined,
    requiresCertificate: tls !== undefined && shouldRequestCertificate(tls.auth),
    user: users.keys().next().value,
    requiresToken: tokens.length > 0,
  }
}

/** Returns the lines for prosody.cfg.lua, without the secret. */
function renderProsodyLines({ xmpp: { domain }, collectors }: ServerConfig): string {
  const component = `Component "${domain}"
    component_secret = "…" -- the contents of the exporter's secret file
    component_conflict_resolve = "kick_old"`
  if (collectors.get('registry') === false) return component
  return `-- in the global section, above the first VirtualHost
statistics = "internal"
statistics_interval = "manual" -- before 0.12: your scrape interval in seconds

-- at the end; a directory in plugin_paths must contain mod_adhoc_statistics
${component}
    modules_enabled = { "adhoc_statistics" }`
}
