// The process that pulls at a steady rate (started by steady-pulls-process.ts): its event loop is nobody else's, so that what it
// measures is the server's doing and not that of a program that measures other things as well.
import { setTimeout as delay } from 'node:timers/promises'
import { HttpConnection, type Origin } from './http-connection.ts'

export interface SteadyPullsOrder {
  readonly origin: Origin
  readonly path: string
  /** Pulls begun in a second, whether or not those before have been answered. */
  readonly perSecond: number
}

/** How long each pull took since it was due to begin, in milliseconds. */
export type SteadyPullsReport = { readonly times: readonly number[] } | { readonly failure: string }

let isOver = false
process.on('message', (message: SteadyPullsOrder | 'end') => {
  if (message === 'end') isOver = true
  else
    void pull(message).then(
      (times) => process.send!({ times } satisfies SteadyPullsReport),
      (error: unknown) => process.send!({ failure: String(error) } satisfies SteadyPullsReport),
    )
})

async function pull({ origin, path, perSecond }: SteadyPullsOrder): Promise<number[]> {
  isOver = false
  const idle: HttpConnection[] = []
  const times: number[] = []
  const underWay = new Set<Promise<void>>()
  let failure: unknown
  const pullOnce = async (dueAt: number): Promise<void> => {
    // A timer may fire a millisecond early.
    const begunAt = Math.min(dueAt, performance.now())
    const connection = idle.pop() ?? new HttpConnection(origin)
    const { status } = await connection.send({ method: 'GET', path })
    times.push(performance.now() - begunAt)
    idle.push(connection)
    if (status !== 200) throw new Error(`a manifest was answered with ${status}`)
  }
  const startedAt = performance.now()
  for (let count = 0; !isOver && failure === undefined; count += 1) {
    const dueAt = startedAt + (count * 1000) / perSecond
    const untilDueMs = dueAt - performance.now()
    if (untilDueMs > 0) await delay(untilDueMs)
    const pulled: Promise<void> = pullOnce(dueAt)
      .catch((error: unknown) => {
        failure ??= error
      })
      .finally(() => underWay.delete(pulled))
    underWay.add(pulled)
  }
  await Promise.all(underWay)
  for (const connection of idle) connection.close()
  if (failure !== undefined) throw failure
  return times
}
