import { findAddressFamilies } from '../../outside/machine-addresses.js'
import type { AddressFamily, DomainCheck, EndpointCheck } from '../../outside/outside-check.js'
import { formatFamily, formatTarget } from '../../outside/outside-check.js'
import { buildOutsideJson } from './outside-json.js'
import { parseOutsideFlags, type OutsideFlags } from './outside-flags.js'
import { formatOutsideReport } from './outside-report.js'

export type OutsideCommandOptions = {
  readonly print: (text: string) => void
  /** Shows a text in the last line of a terminal, instead of the previous text. Omit it if there is no terminal. */
  readonly showProgress?: ((text: string) => void) | undefined
  /** Returns the address families over which this machine can connect to other networks. */
  readonly findFamilies?: (flags: Pick<OutsideFlags, 'allowPrivate'>) => readonly AddressFamily[]
  readonly check: (
    flags: OutsideFlags & { readonly families: readonly AddressFamily[] },
    onEndpoint: (check: EndpointCheck) => void,
  ) => Promise<DomainCheck>
}

/**
 * `prosody-exporter outside DOMAIN`: checks a domain as clients and other servers find it, and prints a report.
 *
 * @returns The exit code: 0 without an error, 1 with one.
 * @throws {ConfigError} for wrong flags. The command then exits with 2.
 * @throws The reason of the signal of `check`, if it is aborted.
 */
export async function outsideCommand(
  args: readonly string[],
  {
    print,
    showProgress = () => undefined,
    check,
    findFamilies = findAddressFamilies,
  }: OutsideCommandOptions,
): Promise<0 | 1> {
  const flags = parseOutsideFlags(args)
  const { domain, isJson, isVerbose, sides } = flags
  const families = findFamilies(flags)
  showProgress(`Looking up ${domain}…`)
  let result
  try {
    result = await check({ ...flags, families }, (each) => {
      showProgress(
        `Checked ${formatTarget(each.endpoint)} over ${formatFamily(each.endpoint.family)}…`,
      )
    })
  } finally {
    showProgress('')
  }
  const json = buildOutsideJson(result, { families, isVerbose })
  print(
    isJson
      ? `${JSON.stringify(json, undefined, 2)}\n`
      : formatOutsideReport(result, { sides, families, isVerbose }),
  )
  return json.ok ? 0 : 1
}
