/** Elements sorted or merged between two yields: some tenths of a millisecond. */
const elementsPerStep = 4096

/**
 * Sorts rows in place, a little at a time: whoever asks for the next step may do something else before. Stable. What is in order
 * already is only looked at once.
 */
export function* sortInSteps(rows: Uint32Array, compare: (a: number, b: number) => number): Generator<undefined, void> {
  for (let start = 0; start < rows.length; start += elementsPerStep) {
    const run = rows.subarray(start, start + elementsPerStep)
    if (!run.every((row, index) => index === 0 || compare(run[index - 1]!, row) <= 0)) run.sort(compare)
    yield
  }
  if (rows.length <= elementsPerStep) return
  const merged = new Uint32Array(rows.length)
  for (let width = elementsPerStep; width < rows.length; width *= 2) {
    for (let start = 0; start + width < rows.length; start += 2 * width) {
      const middle = start + width
      const end = Math.min(middle + width, rows.length)
      if (compare(rows[middle - 1]!, rows[middle]!) > 0) yield* merge(rows, merged, { start, middle, end }, compare)
    }
  }
}

interface Runs {
  readonly start: number
  readonly middle: number
  readonly end: number
}

function* merge(rows: Uint32Array, merged: Uint32Array, { start, middle, end }: Runs, compare: (a: number, b: number) => number): Generator<undefined, void> {
  let left = start
  let right = middle
  for (let place = start; place < end; place += 1) {
    const isLeft = right === end || (left < middle && compare(rows[left]!, rows[right]!) <= 0)
    merged[place] = isLeft ? rows[left++]! : rows[right++]!
    if (place % elementsPerStep === 0) yield
  }
  rows.set(merged.subarray(start, end), start)
  yield
}
