import { fork, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import type { SteadyPullsOrder, SteadyPullsReport } from './steady-pulls.ts'

/** Pulls one manifest over and over at a steady rate, from a process of its own. */
export class SteadyPullsProcess {
  readonly #child: ChildProcess
  readonly #order: SteadyPullsOrder

  constructor(order: SteadyPullsOrder) {
    this.#order = order
    this.#child = fork(join(import.meta.dirname, 'steady-pulls.ts'), { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] })
  }

  /**
   * Pulls until the promise is settled; how long each took since it was due to begin, in milliseconds. Throws when one fails, or
   * when the promise rejects.
   */
  async until(end: Promise<unknown>): Promise<readonly number[]> {
    const reported = once(this.#child, 'message') as Promise<[SteadyPullsReport]>
    this.#child.send(this.#order)
    try {
      await Promise.race([end, reported])
    } finally {
      this.#child.send('end')
    }
    const [report] = await reported
    if ('failure' in report) throw new Error(report.failure)
    return report.times
  }

  get pid(): number {
    return this.#child.pid!
  }

  stop(): void {
    this.#child.disconnect()
  }
}
