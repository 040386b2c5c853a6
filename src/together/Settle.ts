/** Several things waited for at once, and not for ever. Plain synchronous code. */

/**
 * Calls back once all tasks have, or so many that it `isEnough`, or after `patience` milliseconds: `isWhole` says whether it
 * is not the last. At once where nothing is to be waited for. What is returned takes that back.
 */
export const settle = (
  tasks: Iterable<(done: () => void) => void>,
  patience: number,
  then: (isWhole: boolean) => void,
  isEnough: () => boolean = () => false
): (() => void) => {
  let left = 1
  let isOver = false
  let timer: NodeJS.Timeout | undefined
  const end = (isWhole: boolean) => {
    if (isOver) return
    isOver = true
    clearTimeout(timer)
    then(isWhole)
  }
  const done = () => {
    if (--left === 0 || isEnough()) end(true)
  }
  for (const task of tasks) {
    left++
    task(done)
  }
  done()
  if (!isOver) timer = setTimeout(() => end(false), patience).unref()
  return () => {
    isOver = true
    clearTimeout(timer)
  }
}
