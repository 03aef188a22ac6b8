import { exitCodes } from '../../config/exit-codes.ts'
import type { AwsOptions } from '../aws/settings.ts'
import { connectToStowage, everyPage, isoTime, jsonText, tableText } from '../aws/stowage-calls.ts'
import type { CommandIo } from '../command-io.ts'

export interface RunsOptions extends AwsOptions {
  readonly json: boolean
}

/** As the service answers it; times are seconds since the epoch. */
interface Run {
  readonly runId: string
  readonly repositoryName: string
  readonly status: string
  readonly concern?: string
  readonly trashBatch?: string
  readonly startedAt: number
  readonly finishedAt?: number
  readonly decidedBy?: string
  readonly images: number
  readonly expired: number
  readonly archived: number
  readonly manifests: number
  readonly failed: number
  readonly lifecycleEventFailureDetails: readonly unknown[]
}

/** Has the policies of a repository carried out as soon as may be. */
export async function startRun(io: CommandIo, options: RunsOptions & { readonly repository: string }): Promise<number> {
  const { repository, json } = options
  const call = await connectToStowage(options)
  const answer = await call<object>('StartLifecycleRun', { repositoryName: repository })
  io.stdout.write(json ? jsonText(answer) : `The policies of ${repository} are looked at now. If they have anything to delete or archive, a run shows it: stowage lifecycle history ${repository}\n`)
  return exitCodes.ok.code
}

export async function listRuns(io: CommandIo, options: RunsOptions & { readonly repository: string }): Promise<number> {
  const { repository, json } = options
  const call = await connectToStowage(options)
  const runs = await everyPage(call, 'ListLifecycleRuns', { repositoryName: repository }, (page) => page['runs'] as Run[])
  if (json) {
    io.stdout.write(jsonText(runs.map(forPeople)))
    return exitCodes.ok.code
  }
  if (runs.length === 0) {
    io.stdout.write(`No run is recorded yet: one is when the policies of ${repository} have something to delete or archive.\n`)
    return exitCodes.ok.code
  }
  const rows = runs.map((run) => [run.runId, isoTime(run.startedAt).slice(0, 16), run.status, amountOf(run), run.trashBatch ?? '', noteOf(run)])
  io.stdout.write(tableText(['run', 'began', 'state', 'images', 'trash batch', ''], rows))
  return exitCodes.ok.code
}

/** Lets a run that waits go on, or drops it. */
export async function settleRun(io: CommandIo, options: RunsOptions & { readonly runId: string; readonly decision: 'confirm' | 'cancel' }): Promise<number> {
  const { runId, decision, json } = options
  const call = await connectToStowage(options)
  const { run } = await call<{ run: Run }>(decision === 'confirm' ? 'ConfirmLifecycleRun' : 'CancelLifecycleRun', { runId })
  io.stdout.write(json ? jsonText(forPeople(run)) : `The run ${runId} of ${run.repositoryName} is ${decision === 'confirm' ? 'confirmed' : 'cancelled'}.\n`)
  return exitCodes.ok.code
}

/** What became of how many of its images. */
function amountOf({ expired, archived, images }: Run): string {
  if (archived === 0) return `${expired} of ${images}${expired === 0 ? '' : ' deleted'}`
  return expired === 0 ? `${archived} of ${images} archived` : `${expired} deleted, ${archived} archived of ${images}`
}

function noteOf({ status, concern, failed }: Run): string {
  if (concern !== undefined) return concern
  if (status === 'unconfirmed') return 'waits for stowage lifecycle confirm'
  return failed > 0 ? `${failed} stayed as they were: see --json` : ''
}

function forPeople({ startedAt, finishedAt, ...run }: Run): object {
  return { ...run, startedAt: isoTime(startedAt), ...(finishedAt !== undefined && { finishedAt: isoTime(finishedAt) }) }
}
