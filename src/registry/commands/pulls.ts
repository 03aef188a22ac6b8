import { defineCommand } from '../../storage/metadata/command.ts'
import type { Session } from '../../storage/metadata/session.ts'
import { addPulls } from '../../storage/metadata/stores/manifest-store.ts'
import { everyPullTimeExclusion } from '../../storage/metadata/stores/pull-time-exclusion-store.ts'
import { pullingPrincipal } from '../pulling-principal.ts'

/** Pulls of one image by one principal. */
export interface Pulls {
  readonly registryId: number
  /** As `pullingPrincipal` names it; absent for a root. */
  readonly principal: string | undefined
  readonly manifestId: number
  readonly lastPulledAt: number
  readonly count: number
}

/**
 * The pulls of the last moment, but those that a registry does not count as use. Not `durable`: the clock may lose a second
 * to a power cut, a push may not wait for it.
 */
export const recordPulls = defineCommand({
  name: 'record-pulls',
  durability: 'process',
  async run(tx, input: { pulls: readonly Pulls[] }): Promise<void> {
    const excluded = await excludedPrincipals(tx, input.pulls)
    await addPulls(
      tx,
      input.pulls.filter(({ registryId, principal }) => principal === undefined || !excluded.get(registryId)?.has(principal)),
    )
  },
})

/** By registry, for those that others than a root have pulled from. */
async function excludedPrincipals(tx: Session, pulls: readonly Pulls[]): Promise<Map<number, Set<string | undefined>>> {
  const excluded = new Map<number, Set<string | undefined>>()
  for (const { registryId, principal } of pulls) {
    if (principal === undefined || excluded.has(registryId)) continue
    excluded.set(registryId, new Set((await everyPullTimeExclusion(tx, registryId)).map(pullingPrincipal)))
  }
  return excluded
}
