import { Account } from './account.ts'
import type { DirectoryDependencies } from './dependencies.ts'
import { Entities } from './entities.ts'
import { OidcProviders } from './oidc-providers.ts'
import { Policies } from './policies.ts'
import { Simulation } from './simulation.ts'
import { UserKeys } from './user-keys.ts'

export type { AccountUsage } from './account.ts'
export { pageOfItems, type DirectoryPage, type PageRequest } from './dependencies.ts'
export type { Entity, Group, Role, User } from './entities.ts'
export { oidcProviderUrlIn, type OidcProvider } from './oidc-providers.ts'
export type { PolicyHolder } from '../../storage/metadata/stores/iam-policy-store.ts'
export type { AttachedPolicy, InlinePolicy, Policy, PolicyScope, PolicyVersion, SourcedDocument } from './policies.ts'
export { contextKeysIn, simulate, type SimulatedDecision, type SimulatedPolicies, type SimulatedRequest } from './simulation.ts'
export type { AccessKeyFacts, LastUse } from './user-keys.ts'

/** What IAM keeps of accounts: who there is, with which keys, and which policies they have. Every change is audited. */
export interface IamDirectory {
  readonly account: Account
  readonly entities: Entities
  readonly keys: UserKeys
  readonly oidcProviders: OidcProviders
  readonly policies: Policies
  readonly simulation: Simulation
}

export function createIamDirectory(deps: DirectoryDependencies): IamDirectory {
  return {
    account: new Account(deps),
    entities: new Entities(deps),
    keys: new UserKeys(deps),
    oidcProviders: new OidcProviders(deps),
    policies: new Policies(deps),
    simulation: new Simulation(deps),
  }
}
