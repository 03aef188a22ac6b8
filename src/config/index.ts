export { awsServiceNames, readAwsEnvironment, type AwsEnvironment, type AwsServiceName } from './aws-environment.ts'
export { hostAndPort, isLoopback, normalizeIp, type ListenAddress, type NetworkRange } from './address.ts'
export { parseByteRate } from './byte-rate.ts'
export { archiveFolder, rootCredentialPath, selfSignedPaths, type SelfSignedPaths } from './data-paths.ts'
export { configError, type ConfigErrorCode } from './errors.ts'
export { exitCodes } from './exit-codes.ts'
export { loadConfig, unknownSettings, type Environment } from './load.ts'
export { mayUsePrivateHost } from './private-hosts.ts'
export { ecrQuotas, mebibyte, type Quotas } from './quotas.ts'
export { countedEcrCalls, ratedCalls, ratesOfSource, type RatedCall, type RequestRates } from './request-rates.ts'
export {
  createRootCredentialFile,
  generateRootCredential,
  readRootCredentialFile,
  type RootCredentialFile,
} from './root-credential-file.ts'
export type { Config, RootCredential, TlsConfig } from './schema.ts'
