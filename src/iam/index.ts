export { Accounts, type AccountInfo, type RootCredentialPair } from './accounts.ts'
export type { AccessRequest, AuthorizationContext, RequestOrigin } from './access-request.ts'
export { Authorizer, type AuthorizerOptions, type Decision, type Refusal, type VisibleRepositories } from './authorizer.ts'
export { replaceRootAccessKey } from './commands/root-access-key.ts'
export { AccessKeyClock } from './access-key-clock.ts'
export { AccessKeys, installRootCredential, type AccessKey } from './credentials.ts'
export {
  createIamDirectory,
  oidcProviderUrlIn,
  pageOfItems,
  type AccessKeyFacts,
  type AccountUsage,
  type AttachedPolicy,
  type DirectoryPage,
  type Entity,
  type Group,
  type IamDirectory,
  type InlinePolicy,
  type LastUse,
  type OidcProvider,
  type PageRequest,
  type Policy,
  type PolicyHolder,
  type PolicyVersion,
  type Role,
  contextKeysIn,
  simulate,
  type SimulatedDecision,
  type SimulatedPolicies,
  type SourcedDocument,
  type User,
} from './directory/index.ts'
export { managedPolicies, managedPolicy, type ManagedPolicy } from './managed-policies.ts'
export { pinPrincipals, showPrincipals, type PinnedPolicy } from './pinned-principals.ts'
export { encodePolicyDocument } from './policy-documents.ts'
export { iamQuotas, type IamQuota } from './quotas.ts'
export { ecrTokenLifetimeMs, EcrTokenReader, issueEcrToken, readEcrToken, type EcrTokenClaims } from './ecr-token.ts'
export { iamError, iamSetupError, type IamErrorCode, type IamSetupErrorCode } from './errors.ts'
export { IamGeneration } from './generation.ts'
export { newKeyring, parseKeyring, serializeKeyring } from './keyring-document.ts'
export { keyringIds, openKeyring, sealingKeyId, type Keyring, type KeyringOptions } from './keyring.ts'
export { defaultKeyringPath, readKeyringFile } from './keyring-file.ts'
export { requireLiveKey, signLayerUrl, verifyLayerUrl, type LayerUrlClaims } from './layer-url.ts'
export { rootPrincipal, type Principal, type PrincipalKind } from './principal.ts'
export { accountOfRole } from './assume-role.ts'
export type { AssumedRole, AssumedWebIdentityRole, AssumeRoleRequest, AssumptionJudge, RoleRequest } from './assume-role.ts'
export { SecurityTokens, type SecurityTokenDependencies, type UnsignedRequest } from './security-tokens.ts'
export { serviceRole } from './service-role.ts'
export { sessionTags } from './session-bounds.ts'
export {
  beginSession,
  isTokenOfKey,
  maxSessionTokenBytes,
  removeEndedSessions,
  type NewSession,
  type TemporaryCredentials,
} from './sessions.ts'
export {
  CredentialThrottle,
  defaultThrottleLimits,
  type ThrottleDecision,
  type ThrottleLimits,
} from './throttle.ts'
export { RequestRateLimit, type RatedRegistry } from './request-rates.ts'
export { createIssuerFetch, IssuerKeys } from './web-identity/index.ts'
