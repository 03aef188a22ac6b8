import type { Registry } from '../../../../registry/index.ts'
import { AwsError } from '../../errors.ts'
import { operation, type AwsOperation } from '../../service.ts'
import { required, structure } from '../../shapes.ts'
import { imageTagConditions } from './conditions.ts'
import { describeNamed } from './images.ts'
import * as shapes from './shapes.ts'
import { repositoryResource, targetOf } from './target.ts'

/**
 * What there is of image scanning without a scanner: the setting is kept and shown, for the day when there is one, and no
 * answer says that an image was scanned.
 */
export function scanningOperations({ registry }: { readonly registry: Registry }): Record<string, AwsOperation> {
  return {
    PutImageScanningConfiguration: operation({
      action: 'ecr:PutImageScanningConfiguration',
      resource: (input, call) => repositoryResource(input, call),
      input: structure({
        ...shapes.repositoryMembers,
        imageScanningConfiguration: required(shapes.imageScanningConfiguration),
      }),
      async handler(call, input) {
        const { context, name } = targetOf(input, call)
        const { scanOnPush } = await registry.putScanOnPush(context, name, input.imageScanningConfiguration.scanOnPush ?? false)
        return {
          registryId: context.registry.accountId,
          repositoryName: name,
          imageScanningConfiguration: { scanOnPush },
        }
      },
    }),

    StartImageScan: operation({
      action: 'ecr:StartImageScan',
      resource: (input, call) => repositoryResource(input, call),
      conditions: ({ imageId }) => imageTagConditions([imageId.imageTag]),
      input: structure({ ...shapes.repositoryMembers, imageId: required(shapes.imageId) }),
      async handler(call, input): Promise<never> {
        const { context, name } = targetOf(input, call)
        await describeNamed(registry, context, name, [input.imageId])
        throw new AwsError('ValidationException', 'This registry has no image scanner: nothing was scanned, and nothing will be.')
      },
    }),

    DescribeImageScanFindings: operation({
      action: 'ecr:DescribeImageScanFindings',
      resource: (input, call) => repositoryResource(input, call),
      conditions: ({ imageId }) => imageTagConditions([imageId.imageTag]),
      input: structure({
        ...shapes.repositoryMembers,
        imageId: required(shapes.imageId),
        nextToken: shapes.nextToken,
        maxResults: shapes.maxResults,
      }),
      async handler(call, input): Promise<never> {
        const { context, name } = targetOf(input, call)
        await describeNamed(registry, context, name, [input.imageId])
        const { imageDigest, imageTag } = input.imageId
        const image = `{imageDigest:'${imageDigest ?? null}', imageTag:'${imageTag ?? null}'}`
        throw new AwsError(
          'ScanNotFoundException',
          `Image scan does not exist for the image with '${image}' in the repository with name '${name}' in the registry with id '${context.registry.accountId}'`,
        )
      },
    }),
  }
}
