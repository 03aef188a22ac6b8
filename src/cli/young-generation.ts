import v8 from 'node:v8'

/**
 * The space for new objects that a server gets. V8 would let it double up to 64 MiB, which a server that answers
 * thousands of small requests a second fills with what is garbage already. Measured for a manifest GET: more of it than
 * this saves no processor time that could be told from noise, and 3 MiB cost a tenth more.
 */
const spaceBytes = 8 * 1024 * 1024
/** The space of a thread, each. */
const threadSpaceMebibytes = 4

/** What is allocated between two looks, in objects of some 100 bytes: little enough not to miss the size. */
const objectsAtOnce = 2_000
/** Room enough has always come long before, within some 10 ms. */
const mostTurns = 1_000

/**
 * Keeps the memory of a process that serves within bounds. There is a command line option for this, but a program cannot
 * give itself options. It can forbid the space to grow, for good: so the space is made to grow first, by objects that live.
 */
export function boundYoungGeneration(): void {
  const living: { readonly n: number; readonly list: number[] }[] = []
  for (let turn = 0; turn < mostTurns && newSpaceBytes() < spaceBytes; turn += 1) {
    for (let n = 0; n < objectsAtOnce; n += 1) living.push({ n, list: [n] })
    if (living.length > 20 * objectsAtOnce) living.splice(0, 10 * objectsAtOnce)
  }
  v8.setFlagsFromString('--semi-space-growth-factor=1')
  // Threads that are started from now on begin with this: they cannot grow either, and V8's least is so little that a batch of
  // records that lives while it is written was copied again and again.
  v8.setFlagsFromString(`--min-semi-space-size=${threadSpaceMebibytes}`)
}

function newSpaceBytes(): number {
  return v8.getHeapSpaceStatistics().find(({ space_name: name }) => name === 'new_space')?.space_size ?? 0
}
