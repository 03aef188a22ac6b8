import { accountSettingOperations } from './account-settings.ts'
import { archivedImageOperations, type ArchiveSettings } from './archived-images.ts'
import { blobOperations } from './blobs.ts'
import { creationTemplateOperations } from './creation-templates.ts'
import type { DamageWatch } from './damage.ts'
import { imageStateOperations } from './image-state.ts'
import { imageOperations } from './images.ts'
import { manifestOperations } from './manifests.ts'
import { policyOperations } from './policies.ts'
import type { PullClock } from './pull-clock.ts'
import { pullTimeExclusionOperations } from './pull-time-exclusions.ts'
import { repositoryOperations } from './repositories.ts'
import { trashOperations } from './trash-operations.ts'
import { storageUseOperations } from './storage-use.ts'
import { retirementOperations } from './retirement.ts'
import type { Registry } from './types.ts'
import { uploadOperations, type UploadDependencies } from './uploads.ts'

export interface RegistryDependencies extends UploadDependencies {
  readonly pullClock: PullClock
  readonly damageWatch: DamageWatch
  /** How long what was deleted can be brought back; 0: not at all. */
  readonly trashRetentionMs: number
  /** Whether a pull brings back what a lifecycle policy deleted. */
  readonly restoreOnPull: boolean
  /** Without it nothing is told that works in the archive, and pulls restore nothing from it. */
  readonly archive?: ArchiveSettings | undefined
}

/** The registry's operations over a database and a blob store. */
export function createRegistry(deps: RegistryDependencies): Registry {
  return {
    ...repositoryOperations(deps),
    ...policyOperations(deps),
    ...accountSettingOperations(deps),
    ...creationTemplateOperations(deps),
    ...pullTimeExclusionOperations(deps),
    ...manifestOperations(deps),
    ...imageOperations(deps),
    ...imageStateOperations(deps),
    ...blobOperations(deps),
    ...trashOperations(deps),
    ...storageUseOperations(deps),
    ...archivedImageOperations(deps),
    ...retirementOperations(deps),
    ...uploadOperations(deps),
  }
}
