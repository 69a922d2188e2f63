import { addCount } from './counts.js'
import type { Family } from './family.js'

/** Omits whole families, the largest first, until the remaining families have at most `max` series in total. */
export function limitSeries(families: readonly Family[], max: number) {
  const omitted = new Map<string, number>()
  let total = families.reduce((sum, family) => sum + family.order.length, 0)
  if (total <= max) return { remaining: families, omitted }
  const bySize = [...families].sort(
    (a, b) => b.order.length - a.order.length || (a.name < b.name ? -1 : 1),
  )
  const omittedFamilies = new Set<Family>()
  for (const family of bySize) {
    if (total <= max) break
    omittedFamilies.add(family)
    // Several families can have the same name, so their series are added up.
    addCount(omitted, family.name, family.order.length)
    total -= family.order.length
  }
  return { remaining: families.filter((family) => !omittedFamilies.has(family)), omitted }
}
