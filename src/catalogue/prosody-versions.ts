/** Returns a note about a version of Prosody at its end of life: 0.12 and earlier. docs/install.md says so, too. */
export function noteEndOfLife(version: string): string | undefined {
  if (!/^0\.([0-9]|1[0-2])(\.|$)/.test(version)) return undefined
  return `Prosody ${version} is at its end of life. Upgrade to Prosody 13.0, or check that your distribution fixes its package.`
}

/** The first release of each maintained series of Prosody that has the fixes of the advisory of May 2026. */
const FIXED_IN: readonly (readonly [RegExp, number])[] = [
  [/^0\.12\.(\d+)$/, 6],
  [/^13\.0\.(\d+)$/, 5],
]

/**
 * Returns a note about a version of Prosody at its end of life or with known flaws: CVE-2026-43506 and CVE-2026-43507,
 * with which anyone can make Prosody use all memory. The version does not show whether a distribution has added the
 * fixes to its package.
 */
export function noteOldVersion(version: string): string | undefined {
  for (const [pattern, fixed] of FIXED_IN) {
    const patch = pattern.exec(version)?.[1]
    if (patch === undefined || Number(patch) >= fixed) continue
    const release = version.replace(/\d+$/, String(fixed))
    return (
      `Prosody ${version} is older than ${release}, which fixed two remotely reachable flaws. Distributions backport ` +
      'fixes, so check that your package has those for CVE-2026-43506 and CVE-2026-43507.'
    )
  }
  return noteEndOfLife(version)
}
