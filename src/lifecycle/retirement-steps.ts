import { RecurringWork } from '../internal/recurring-work.ts'
import type { IdSource } from '../internal/ids.ts'
import { putStepOff, takeRetirementStep, type StepOutcome } from '../registry/commands/retirement.ts'
import type { CommandContext } from '../storage/metadata/command.ts'
import type { MetadataDatabase } from '../storage/metadata/database.ts'
import { dueRetirements } from '../storage/metadata/stores/retirement-store.ts'
import { digestFromBytes, type Digest } from '../values/index.ts'

export interface RetirementStepsDependencies {
  readonly database: MetadataDatabase
  readonly ids: IdSource
  readonly trashRetentionMs: number
  readonly systemContext: () => CommandContext
  readonly onStep: (step: { readonly repository: string; readonly digest: Digest } & StepOutcome) => void
  readonly onError: (error: unknown) => void
  /** Looks whether the clock was set, and puts everything on hold if so, before anything is removed by it. Never rejects. */
  readonly lookAtClocks?: () => Promise<void>
}

/** Times of steps are told in days: a minute more is none. */
const lookIntervalMs = 60_000
/** Steps of one look. Each is a command of its own, so that nobody waits for all of them. */
const stepsPerLook = 500

/**
 * Takes the steps of images' retirement when their time has come. Several servers with one database may do it side by side:
 * each step is taken once.
 */
export class RetirementSteps {
  readonly #deps: RetirementStepsDependencies
  readonly #work: RecurringWork

  constructor(deps: RetirementStepsDependencies) {
    this.#deps = deps
    this.#work = new RecurringWork(() => this.look(), deps.onError)
  }

  start(): void {
    this.#work.start(lookIntervalMs)
  }

  /** Waits for a look under way. */
  stop(): Promise<void> {
    return this.#work.stop()
  }

  /** Takes what is due now. Returns how many steps were looked at. */
  async look(): Promise<number> {
    const { database, ids, trashRetentionMs: retentionMs, systemContext, onStep, onError, lookAtClocks } = this.#deps
    await lookAtClocks?.()
    const due = await dueRetirements(database.reader, systemContext().nowMs, stepsPerLook)
    for (const { registryId, accountId, region, repositoryName: name, digest: bytes } of due) {
      const digest = digestFromBytes(bytes)
      const context = { ...systemContext(), registryId, accountId, region }
      try {
        const outcome = await database.execute(takeRetirementStep, { name, digest, trashBatch: ids.uuid(), retentionMs }, context)
        onStep({ repository: name, digest, ...outcome })
      } catch (error) {
        // The others have their steps all the same, those beyond this look too.
        onError(error)
        await database.execute(putStepOff, { name, digest }, context).catch(onError)
      }
    }
    return due.length
  }
}
