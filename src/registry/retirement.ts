import type { MetadataDatabase } from '../storage/metadata/database.ts'
import { leasesOn, listActiveSources } from '../storage/metadata/stores/usage-store.ts'
import { setImageRetirement } from './commands/retirement.ts'
import { commandContext, type RequestContext } from './context.ts'
import { registryError } from './errors.ts'
import { kinOf } from './protection/kin.ts'
import { retirementOf } from './retirement-parts.ts'
import { retirementState, retirementText, toRetirement } from './retirement-states.ts'
import type { BlockedPulls, Registry } from './types.ts'
import { doubtOf, isInScope, scopeOf } from './usage/source-health.ts'

export type RetirementOperations = Pick<Registry, 'setImageRetirement'>

export function retirementOperations({ database }: { database: MetadataDatabase }): RetirementOperations {
  return {
    setImageRetirement: (context, name, image, retirement) =>
      database.execute(setImageRetirement, { name, image, retirement }, commandContext(context)),
  }
}

/**
 * What whoever pulls a retired image is told; nothing of a part that another image needs. A blocked image is given to whom `mayPullBlocked` says yes of, and to everybody
 * as long as some workload is known to run it: a node that starts again what runs cannot be told from one that starts it for
 * the first time. Throws `image-blocked`.
 */
export async function noticeOfRetirement(
  database: MetadataDatabase,
  context: RequestContext,
  name: string,
  manifest: { readonly id: number; readonly retirement: number },
  { mayPullBlocked }: BlockedPulls,
): Promise<string | undefined> {
  const row = await retirementOf(database.reader, manifest.id)
  if (row === undefined) return undefined
  const text = retirementText(toRetirement(manifest.retirement, row))
  if (retirementState(manifest.retirement) !== 'blocked') return text
  if (await isInUse(database, context, name, manifest.id)) return text
  if ((await mayPullBlocked?.()) === true) return text
  throw registryError('image-blocked', `${text}. Nothing is known to run it, and to pull it all the same needs stowage:PullBlockedImage.`)
}

/** Whether a usage source says of an image, of what it lists or of what lists it that something runs it. */
async function isInUse(database: MetadataDatabase, { registry, clock }: RequestContext, name: string, manifestId: number): Promise<boolean> {
  const sources = new Map((await listActiveSources(database.reader, registry.id)).map((source) => [source.id, source]))
  if (sources.size === 0) return false
  const digests = (await kinOf(database.reader, [manifestId])).get(manifestId)?.digests ?? new Set()
  const leases = await leasesOn(database.reader, registry.id, [...digests])
  const now = clock.now()
  return leases.some(({ sourceId, repository, until }) => {
    const source = sources.get(sourceId)
    if (source === undefined || !isInScope(scopeOf(source), name)) return false
    if (repository !== '' && repository !== name) return false
    // What a source in doubt said last holds on: what runs must not stop because its reporter is silent.
    return until === undefined || until > now || doubtOf(source, now) !== undefined
  })
}
