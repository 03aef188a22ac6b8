import type { DeadLetters } from '../../../../events/dead-letters.ts'
import type { EventDestinations } from '../../../../events/event-destinations.ts'
import type { Erasures } from '../../../../gc/erasures.ts'
import type { CollectionControl, DiskWatch, Reconciler } from '../../../../gc/index.ts'
import type { Accounts, Keyring } from '../../../../iam/index.ts'
import type { LifecycleRunner, RetentionPolicies } from '../../../../lifecycle/index.ts'
import type { Registry } from '../../../../registry/index.ts'
import type { QuotaOperations } from '../../../../registry/quota-operations.ts'
import type { Protections } from '../../../../registry/protection/protections.ts'
import type { UsageSources } from '../../../../registry/usage/usage-sources.ts'
import type { AccountId } from '../../../../values/index.ts'
import type { AwsService } from '../../service.ts'
import { accountOf } from '../ecr/target.ts'
import { PageTokens } from '../ecr/page-token.ts'
import { policyPreviewOperations, type PreviewPolicy } from './policy-preview.ts'
import { retentionOperations } from './retention.ts'
import { lifecycleOperations, type ExplainImage } from './lifecycle.ts'
import { auditOperations, type AuditOperationDependencies } from './audit.ts'
import { accountOperations } from './accounts.ts'
import { collectionOperations } from './collection.ts'
import { eventDeadLetterOperations } from './event-dead-letters.ts'
import { eventDestinationOperations } from './event-destinations.ts'
import { erasureOperations } from './erasure.ts'
import { retirementOperations } from './retirement.ts'
import { holdOperations } from './holds.ts'
import { monitoringOperations } from './monitoring.ts'
import { protectionOperations } from './protections.ts'
import { quotaOperations } from './quotas.ts'
import { trashOperations } from './trash.ts'
import { storageOperations } from './storage.ts'
import { usageOperations } from './usage.ts'

export interface StowageServiceDependencies {
  readonly registry: Registry
  readonly erasures: Erasures
  readonly collection: CollectionControl
  readonly reconciler: Reconciler
  readonly diskWatch: DiskWatch
  /** Seals the positions in lists. */
  readonly keyring: Keyring
  readonly accounts: Accounts
  readonly lifecycle: { readonly runner: LifecycleRunner; readonly explain: ExplainImage; readonly retention: RetentionPolicies; readonly previewPolicy: PreviewPolicy }
  /** The account that the installation began with: its principals alone manage accounts. */
  readonly homeAccountId: AccountId
  readonly protections: Protections
  readonly quotas: QuotaOperations
  readonly usageSources: UsageSources
  readonly audit: Omit<AuditOperationDependencies, 'pageTokens'>
  readonly events: { readonly destinations: EventDestinations; readonly deadLetters: DeadLetters }
  /** In Prometheus' text format. */
  readonly metricsText: () => Promise<string>
}

/**
 * What AWS has no API for, in AWS's manner: AWS JSON 1.1, signed for `stowage`, with IAM actions `stowage:*`. One file of
 * operations for each subject. Those on a registry or a repository take a `registryId`, as ECR's do, and have the ARNs of
 * `target.ts` for their resources.
 */
export function createStowageService({ registry, erasures, collection, reconciler, diskWatch, accounts, homeAccountId, keyring, lifecycle, protections, quotas, usageSources, audit, events, metricsText }: StowageServiceDependencies): AwsService {
  const pageTokens = new PageTokens(keyring)
  return {
    name: 'stowage',
    protocol: 'json',
    signingName: 'stowage',
    targetPrefix: 'Stowage_V1',
    accountOf,
    operations: {
      ...accountOperations({ accounts, homeAccountId }),
      ...retirementOperations({ registry, pageTokens }),
      ...protectionOperations({ protections }),
      ...usageOperations({ usageSources }),
      ...holdOperations({ protections }),
      ...lifecycleOperations({ ...lifecycle, pageTokens }),
      ...retentionOperations({ ...lifecycle, pageTokens }),
      ...policyPreviewOperations({ ...lifecycle }),
      ...erasureOperations({ erasures, pageTokens }),
      ...collectionOperations({ collection, reconciler, homeAccountId }),
      ...monitoringOperations({ metricsText, homeAccountId }),
      ...trashOperations({ registry, pageTokens }),
      ...quotaOperations({ quotas, pageTokens, homeAccountId }),
      ...auditOperations({ ...audit, pageTokens }),
      ...eventDeadLetterOperations({ ...events, pageTokens }),
      ...eventDestinationOperations({ ...events, pageTokens }),
      ...storageOperations({ registry, pageTokens, diskWatch, homeAccountId }),
    },
  }
}
