import { fork, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Order, Report, RoundResult } from './load-client.ts'
import type { Target } from './registry-client.ts'
import type { Scale } from './workloads/workload.ts'

/** However slow a server is, no answer takes longer than this; the set-up of the largest blob included. */
const orderTimeoutMs = 180_000

/** A load client in a process of its own, for the workloads of one group. */
export class LoadClientProcess {
  readonly #child: ChildProcess

  constructor() {
    this.#child = fork(join(import.meta.dirname, 'load-client.ts'), { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] })
  }

  /** Sets up what the workload needs on a server. Answers how many rows it lists in one operation, where it lists. */
  async open(workload: string, target: Target, scale: Scale): Promise<number | undefined> {
    return (await this.#order({ do: 'open', workload, target, scale }, 'open')).rowsPerOperation
  }

  /** Makes a round's content; `run` then does nothing but load the server. */
  async prepare(target: string, round: number): Promise<void> {
    await this.#order({ do: 'prepare', target, round }, 'prepare')
  }

  async run(): Promise<RoundResult> {
    return this.#order({ do: 'run' }, 'run')
  }

  /** After that it takes no more orders. */
  get hasEnded(): boolean {
    return this.#child.exitCode !== null || this.#child.signalCode !== null
  }

  async stop(): Promise<void> {
    if (this.hasEnded) return
    const exited = once(this.#child, 'exit')
    this.#child.disconnect()
    await exited
  }

  async #order<Kind extends Report['did']>(order: Order, expected: Kind): Promise<Report & { did: Kind }> {
    const ended = new AbortController()
    const answered = once(this.#child, 'message', { signal: ended.signal }) as Promise<[Report]>
    const exited = once(this.#child, 'exit', { signal: ended.signal }).then(() => {
      throw new Error('the load client ended')
    })
    const overdue = sleep(orderTimeoutMs, undefined, { signal: ended.signal }).then(async () => {
      const gone = once(this.#child, 'exit')
      this.#child.kill('SIGKILL')
      await gone
      throw new Error(`no answer within ${orderTimeoutMs / 1000} s`)
    })
    this.#child.send(order)
    try {
      const [report] = await Promise.race([answered, exited, overdue])
      if (report.did === 'fail') throw new Error(report.reason)
      if (report.did !== expected) throw new Error(`the load client answered ${report.did} to ${expected}`)
      return report as Report & { did: Kind }
    } finally {
      ended.abort()
      await Promise.allSettled([answered, exited, overdue])
    }
  }
}
