import type { Keyring } from '../../../../iam/index.ts'
import type { Clock } from '../../../../internal/clock.ts'
import type { LifecyclePolicies, LifecyclePreviews } from '../../../../lifecycle/index.ts'
import type { Registry } from '../../../../registry/index.ts'
import type { AwsService } from '../../service.ts'
import { accountSettingOperations } from './account-settings.ts'
import { createAddresses, type AddressSettings } from './addresses.ts'
import { authorizationOperations } from './authorization.ts'
import { creationTemplateOperations } from './creation-templates.ts'
import { imageOperations } from './images.ts'
import { lifecycleOperations } from './lifecycle.ts'
import { layerOperations } from './layers.ts'
import { PageTokens } from './page-token.ts'
import { referrerOperations } from './referrers.ts'
import { policyOperations } from './policies.ts'
import { pullTimeExclusionOperations } from './pull-time-exclusions.ts'
import { registryOperations } from './registry.ts'
import { repositoryOperations } from './repositories.ts'
import { resourceTagOperations } from './resource-tags.ts'
import { scanningOperations } from './scanning.ts'
import { accountOf } from './target.ts'

export interface EcrServiceDependencies extends AddressSettings {
  readonly registry: Registry
  readonly keyring: Keyring
  readonly clock: Clock
  readonly lifecycle: { readonly policies: LifecyclePolicies; readonly previews: LifecyclePreviews }
  /** How long a layer's download link is good for; an hour without it, as with ECR. */
  readonly downloadUrlLifetimeMs?: number | undefined
}

/** Amazon ECR, API version 2015-09-21, over a registry. */
export function createEcrService(deps: EcrServiceDependencies): AwsService {
  const { registry, keyring, clock, downloadUrlLifetimeMs } = deps
  const addresses = createAddresses(deps)
  const pageTokens = new PageTokens(keyring)
  return {
    name: 'ecr',
    protocol: 'json',
    signingName: 'ecr',
    targetPrefix: 'AmazonEC2ContainerRegistry_V20150921',
    accountOf,
    operations: {
      ...authorizationOperations({ keyring, clock, addresses }),
      ...registryOperations(),
      ...repositoryOperations({ registry, addresses, pageTokens }),
      ...resourceTagOperations({ registry }),
      ...policyOperations({ registry }),
      ...accountSettingOperations({ registry }),
      ...creationTemplateOperations({ registry, lifecycle: deps.lifecycle, pageTokens }),
      ...pullTimeExclusionOperations({ registry, pageTokens }),
      ...scanningOperations({ registry }),
      ...imageOperations({ registry, pageTokens }),
      ...lifecycleOperations({ ...deps.lifecycle, pageTokens }),
      ...referrerOperations({ registry, pageTokens }),
      ...layerOperations({ registry, keyring, clock, addresses, downloadUrlLifetimeMs }),
    },
  }
}
