import { statSync } from 'node:fs'
import { ConfigError } from '../errors.js'
import type { Given } from '../config/given.js'
import type { Log } from '../log/log.js'
import { readWebConfig, type WebConfig } from './read-web-config.js'
import { cacheLastResult, testHandshake, type HandshakeTest } from './tls-handshake.js'
import { shouldRequestCertificate } from './tls.js'

export type WebConfigReloadState = {
  readonly isSuccessful: boolean
  readonly lastSuccessSeconds: number
  /** Why the last reload failed, on one line; `undefined` if it succeeded. */
  readonly problem?: string | undefined
}

export type ReloadedWebConfig = {
  /** Returns the last valid configuration. */
  current(): WebConfig
  /** Reloads the web configuration file if it, or a file that it names, has changed. */
  refresh(): void
  /** Returns whether the last reload succeeded and why not, and the Unix time of the last successful one. */
  getState(): WebConfigReloadState
}

// The files are checked for changes at most once per second. Exporter-toolkit reads them for each request.
const CHECK_INTERVAL_MS = 1000

/**
 * Reads the web configuration file. Calls of `refresh` reload it when it, or a file that it names, has changed, or
 * when the last reload failed. If the changed configuration is invalid, the previous configuration stays in use.
 *
 * @param now Returns the time of a monotonic clock in milliseconds.
 * @throws ConfigError when the configuration is invalid at the start.
 */
export function createReloadedWebConfig(
  file: Given,
  log: Log,
  now: () => number,
): ReloadedWebConfig {
  const handshake = cacheLastResult(testHandshake)
  let config = readWebConfig(file, handshake)
  const initial = config
  let lastFingerprint = fingerprint(config.files)
  let lastCheckMs = now()
  let state: WebConfigReloadState = { isSuccessful: true, lastSuccessSeconds: Date.now() / 1000 }

  function reload(currentFingerprint: string): void {
    const reloaded = readChangedConfig(file, handshake, { initial, previous: config })
    // If the changed configuration names other files, `currentFingerprint` does not cover them.
    const hasSameFiles = reloaded.files.join() === config.files.join()
    lastFingerprint = hasSameFiles ? currentFingerprint : fingerprint(reloaded.files)
    config = reloaded
    state = { isSuccessful: true, lastSuccessSeconds: Date.now() / 1000 }
    log.info('web configuration reloaded', {})
  }

  return {
    current: () => config,
    refresh() {
      if (now() - lastCheckMs < CHECK_INTERVAL_MS) return
      lastCheckMs = now()
      const currentFingerprint = fingerprint(config.files)
      if (currentFingerprint === lastFingerprint && state.isSuccessful) return
      lastFingerprint = currentFingerprint
      try {
        reload(currentFingerprint)
      } catch (error) {
        if (!(error instanceof ConfigError)) throw error
        const problem = error.message
        const isKnown = problem === state.problem
        state = { ...state, isSuccessful: false, problem }
        if (isKnown) return
        log.error('web configuration reload failed; keeping the previous configuration', {
          error: problem,
        })
      }
    },
    getState: () => state,
  }
}

/**
 * @throws ConfigError if the web configuration file is invalid, or contains a change that requires a restart.
 */
function readChangedConfig(
  file: Given,
  handshake: HandshakeTest,
  { initial, previous }: { initial: WebConfig; previous: WebConfig },
): WebConfig {
  const changed = readWebConfig(file, handshake)
  if (!hasSameTransport(changed, initial)) {
    throw new ConfigError(
      `${file.source}: TLS, HTTP/2 or client certificates were turned on or off. Restart the exporter to apply this.`,
    )
  }
  // A reload must not remove access restrictions. An empty web configuration file is valid, and a full disk or
  // an editor can produce an empty file by mistake.
  const remaining = listRestrictions(changed)
  const removed = listRestrictions(previous).filter((name) => !remaining.includes(name))
  if (removed.length > 0) {
    throw new ConfigError(
      `${file.source}: ${removed.join(' and ')} were removed, which would let more clients in. ` +
        'Restart the exporter to apply this.',
    )
  }
  return changed
}

/**
 * Whether both configurations agree on the use of TLS, HTTP/2 and client certificates. A listening server
 * cannot change these.
 */
function hasSameTransport(changed: WebConfig, initial: WebConfig): boolean {
  if (changed.tls === undefined || initial.tls === undefined) return changed.tls === initial.tls
  return (
    changed.http2 === initial.http2 &&
    shouldRequestCertificate(changed.tls.auth) === shouldRequestCertificate(initial.tls.auth)
  )
}

/** Lists the kinds of access restriction in a configuration, with the names that an error message shows. */
function listRestrictions({ users, tokens, networks, tls }: WebConfig): string[] {
  return [
    ...(users.size > 0 || tokens.length > 0 ? ['logins'] : []),
    ...(networks ? ['allowed_networks'] : []),
    ...(tls?.allowedSans ? ['client_allowed_sans'] : []),
  ]
}

/** Returns a text that changes when one of the files is changed, replaced or removed. */
function fingerprint(files: readonly string[]): string {
  return files
    .map((file) => {
      try {
        const { ino, size, mtimeMs, ctimeMs } = statSync(file)
        return [ino, size, mtimeMs, ctimeMs].join()
      } catch {
        return 'none'
      }
    })
    .join(' ')
}
