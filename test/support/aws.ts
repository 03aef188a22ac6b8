import { run, type RunResult } from './run.ts'
import type { Stowage } from './start-stowage.ts'
import { ensureTool } from './tools.ts'

export interface AwsRepository {
  readonly repositoryArn: string
  readonly registryId: string
  readonly repositoryName: string
  readonly repositoryUri: string
  /** Seconds or ISO 8601, depending on the version of the aws command. */
  readonly createdAt: number | string
  readonly imageTagMutability: string
  readonly imageTagMutabilityExclusionFilters?: readonly { readonly filterType: string; readonly filter: string }[]
}

export interface AwsImageId {
  readonly imageDigest: string
  readonly imageTag?: string
}

export interface AwsImageDetail {
  readonly imageDigest: string
  readonly imageTags: readonly string[]
  readonly imageSizeInBytes: number
  readonly imagePushedAt: number | string
  readonly imageManifestMediaType: string
}

/**
 * The members of all answers that tests read, as if each answer had them all: one that is missing
 * where it is needed fails the assertion made about it.
 */
export interface AwsAnswer {
  readonly Account: string
  readonly NextToken: string
  readonly Events: readonly {
    readonly EventId: string
    readonly EventName: string
    readonly ReadOnly: string
    readonly AccessKeyId?: string
    readonly EventTime: number | string
    readonly EventSource: string
    readonly Username?: string
    readonly Resources: readonly { readonly ResourceType: string; readonly ResourceName: string }[]
    readonly CloudTrailEvent: string
  }[]
  readonly Label: string
  readonly Datapoints: readonly { readonly Timestamp: number | string; readonly Sum?: number; readonly SampleCount?: number; readonly Average?: number; readonly Unit: string }[]
  readonly Metrics: readonly { readonly Namespace: string; readonly MetricName: string; readonly Dimensions: readonly { readonly Name: string; readonly Value: string }[] }[]
  readonly MetricDataResults: readonly { readonly Id: string; readonly Label: string; readonly Timestamps: readonly (number | string)[]; readonly Values: readonly number[]; readonly StatusCode: string }[]
  readonly authorizationData: readonly [
    { readonly authorizationToken: string; readonly expiresAt: number | string; readonly proxyEndpoint: string },
  ]
  readonly downloadUrl: string
  readonly failures: readonly unknown[]
  readonly image: unknown
  readonly imageDetails: readonly [AwsImageDetail, ...AwsImageDetail[]]
  readonly imageIds: readonly [AwsImageId, ...AwsImageId[]]
  readonly images: readonly unknown[]
  readonly layers: readonly unknown[]
  readonly partSize: number
  readonly registryId: string
  readonly replicationConfiguration: unknown
  readonly repositories: readonly [AwsRepository, ...AwsRepository[]]
  readonly repository: AwsRepository
  readonly tags: readonly unknown[]
  readonly uploadId: string
}

export interface AwsClient {
  /** Runs `aws …` and answers the JSON it prints (nothing: an empty object). @throws CommandError */
  json(...args: readonly string[]): Promise<AwsAnswer>
  /** Runs `aws …` and answers what it prints, without the last line break. @throws CommandError */
  text(...args: readonly string[]): Promise<string>
  /** Runs an `aws …` that has to fail, and answers its message. @throws when it succeeds. */
  failure(...args: readonly string[]): Promise<string>
}

/** The real aws command, pointed at a server the way the documentation tells users to. */
export function createAwsClient(stowage: Stowage, env: Readonly<Record<string, string>> = {}): AwsClient {
  const aws = ensureTool('aws')
  const call = (args: readonly string[], mayFail = false): Promise<RunResult> =>
    run(aws, args, { env: { ...stowage.awsEnv, ...env }, mayFail })
  return {
    async json(...args) {
      const { stdout } = await call([...args, '--output', 'json'])
      return JSON.parse(stdout.trim() === '' ? '{}' : stdout) as AwsAnswer
    },
    async text(...args) {
      return (await call([...args, '--output', 'text'])).stdout.replace(/\n$/, '')
    },
    async failure(...args) {
      const result = await call(args, true)
      if (result.exitCode === 0) throw new Error(`aws ${args.join(' ')} should have failed, but printed\n${result.output}`)
      return result.stderr.trim()
    },
  }
}
