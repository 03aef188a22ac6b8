import { readAwsEnvironment } from '../config/aws-environment.ts'
import { exitCodes } from '../config/exit-codes.ts'
import { createAwsAccess } from './aws/access.ts'
import { resolveAwsSettings } from './aws/settings.ts'
import { jsonText } from './aws/stowage-calls.ts'
import type { CommandIo } from './command-io.ts'
import type { ImageOptions } from './image.ts'

/** Archives an image, or begins to restore it, by ECR's own call. */
export async function changeStorageClass(io: CommandIo, { image, json, ...options }: ImageOptions, target: 'ARCHIVE' | 'STANDARD'): Promise<number> {
  const access = createAwsAccess(await resolveAwsSettings(readAwsEnvironment(), options))
  const { ECRClient, UpdateImageStorageClassCommand } = await import('@aws-sdk/client-ecr')
  const client = new ECRClient(access.clientConfig('ecr'))
  try {
    const imageId = { imageTag: image.tag, imageDigest: image.digest }
    const command = new UpdateImageStorageClassCommand({ repositoryName: image.repository, imageId, targetStorageClass: target })
    const { imageId: { imageDigest = '' } = {}, imageStatus = '' } = await access.call('ecr', () => client.send(command))
    const text = imageStatus === 'ACTIVATING' ? 'is being restored from the archive' : `is ${imageStatus.toLowerCase()}`
    io.stdout.write(json ? jsonText({ repositoryName: image.repository, imageDigest, imageStatus }) : `${imageDigest} ${text}.\n`)
    return exitCodes.ok.code
  } finally {
    client.destroy()
  }
}
