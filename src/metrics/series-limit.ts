import { addCount } from './counts.js'
import type { Family } from './family.js'

/** Omits whole families, the largest first, until the rest has at most `max` series. */
export function limitSeries(families: readonly Family[], max: number) {
  const leftOut = new Map<string, number>()
  let total = families.reduce((sum, family) => sum + family.order.length, 0)
  if (total <= max) return { kept: families, leftOut }
  const bySize = [...families].sort(
    (a, b) => b.order.length - a.order.length || (a.name < b.name ? -1 : 1),
  )
  const dropped = new Set<Family>()
  for (const family of bySize) {
    if (total <= max) break
    dropped.add(family)
    // Two colliding families have one name.
    addCount(leftOut, family.name, family.order.length)
    total -= family.order.length
  }
  return { kept: families.filter((family) => !dropped.has(family)), leftOut }
}
