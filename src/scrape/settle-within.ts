/**
 * Settles like `promise`. After `ms` milliseconds without a result, settles like `onTimeout`. Leaves no timer behind.
 */
export async function settleWithin<T>(
  ms: number,
  promise: Promise<T>,
  onTimeout: () => T,
): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const timeout = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, ms)
  })
  try {
    return await Promise.race([promise, timeout.then(onTimeout)])
  } finally {
    clearTimeout(timer)
  }
}
