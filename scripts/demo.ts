import { setTimeout as sleep } from 'node:timers/promises'
import {
  BatchDeleteImageCommand,
  CreateRepositoryCommand,
  DescribeImagesCommand,
  ECRClient,
  GetLifecyclePolicyPreviewCommand,
  GetAuthorizationTokenCommand,
  PutImageTagMutabilityCommand,
  PutLifecyclePolicyCommand,
  StartLifecyclePolicyPreviewCommand,
  waitUntilLifecyclePolicyPreviewComplete,
} from '@aws-sdk/client-ecr'
import { createDistributionClient, type ClientResponse } from '../test/support/distribution-client.ts'
import { digestOf } from '../test/support/images.ts'
import { startStowage } from '../test/support/start-stowage.ts'

/** An image's first minutes on a server of its own, told with the commands a user would type. */

const lifecyclePolicy = {
  rules: [
    {
      rulePriority: 1,
      description: 'Expire untagged images older than 30 days',
      selection: { tagStatus: 'untagged', countType: 'sinceImagePushed', countUnit: 'days', countNumber: 30 },
      action: { type: 'expire' },
    },
  ],
}

const pauseMs = process.stdout.isTTY ? 700 : 0

async function say(command: string): Promise<void> {
  await sleep(pauseMs)
  console.log(`\n$ ${command}`)
}

function expectStatus(response: ClientResponse, status: number): ClientResponse {
  if (response.status === status) return response
  throw new Error(`expected ${status}, got ${response.status}: ${response.body.toString('utf8')}`)
}

await say('make run')
const server = await startStowage()
console.log(`a throw-away server on ${server.url}`)
const ecr = new ECRClient({ endpoint: server.url, region: server.region, credentials: server.keys })
try {
  await say('aws ecr create-repository --repository-name my-app')
  const { repository } = await ecr.send(new CreateRepositoryCommand({ repositoryName: 'my-app' }))
  console.log(repository?.repositoryArn)

  await say(`aws ecr get-login-password | docker login --username AWS --password-stdin ${server.registryHost}`)
  const { authorizationData } = await ecr.send(new GetAuthorizationTokenCommand({}))
  const token = Buffer.from(authorizationData?.[0]?.authorizationToken ?? '', 'base64').toString('utf8')
  const registry = createDistributionClient(server.url, { username: 'AWS', password: token.replace(/^AWS:/u, '') })
  expectStatus(await registry.request('GET', '/v2/'), 200)
  console.log('Login Succeeded')

  await say(`docker push ${server.registryHost}/my-app:v1.0.0`)
  const layer = Buffer.from('a layer is bytes with a digest')
  const config = Buffer.from(JSON.stringify({ architecture: 'amd64', os: 'linux', rootfs: { type: 'layers', diff_ids: [digestOf(layer)] } }))
  for (const blob of [layer, config]) {
    const started = expectStatus(await registry.request('POST', '/v2/my-app/blobs/uploads/'), 202)
    const location = new URL(started.headers.location ?? '', server.url)
    location.searchParams.set('digest', digestOf(blob))
    expectStatus(await registry.request('PUT', location.href, { body: blob }), 201)
    console.log(`${digestOf(blob).slice(7, 19)}: Pushed`)
  }
  const mediaType = 'application/vnd.oci.image.manifest.v1+json'
  const manifest = Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType,
      config: { mediaType: 'application/vnd.oci.image.config.v1+json', digest: digestOf(config), size: config.length },
      layers: [{ mediaType: 'application/vnd.oci.image.layer.v1.tar', digest: digestOf(layer), size: layer.length }],
    }),
  )
  const pushed = await registry.request('PUT', '/v2/my-app/manifests/v1.0.0', { headers: { 'content-type': mediaType }, body: manifest })
  console.log(`v1.0.0: digest: ${String(expectStatus(pushed, 201).headers['docker-content-digest'])}`)

  await say(`docker pull ${server.registryHost}/my-app:v1.0.0`)
  const pulled = expectStatus(await registry.request('GET', '/v2/my-app/manifests/v1.0.0', { headers: { accept: mediaType } }), 200)
  if (!pulled.body.equals(manifest)) throw new Error('the manifest came back changed')
  console.log(`Digest: ${digestOf(pulled.body)}`)

  await say('aws ecr describe-images --repository-name my-app')
  const { imageDetails } = await ecr.send(new DescribeImagesCommand({ repositoryName: 'my-app' }))
  for (const image of imageDetails ?? []) console.log(`${String(image.imageDigest)} ${String(image.imageTags)} ${String(image.imageSizeInBytes)} bytes`)

  await say('aws ecr put-image-tag-mutability --repository-name my-app --image-tag-mutability IMMUTABLE')
  await ecr.send(new PutImageTagMutabilityCommand({ repositoryName: 'my-app', imageTagMutability: 'IMMUTABLE' }))
  await say(`docker push ${server.registryHost}/my-app:v1.0.0        # other content, same tag`)
  const other = Buffer.from(manifest.toString('utf8').replace('"schemaVersion":2,', '"schemaVersion":2,"annotations":{"other":"content"},'))
  const refused = await registry.request('PUT', '/v2/my-app/manifests/v1.0.0', { headers: { 'content-type': mediaType }, body: other })
  if (refused.status < 400) throw new Error('an immutable tag was moved')
  console.log(refused.body.toString('utf8'))

  await say('aws ecr put-lifecycle-policy --repository-name my-app --lifecycle-policy-text file://lifecycle-policy.json')
  const { lifecyclePolicyText } = await ecr.send(new PutLifecyclePolicyCommand({ repositoryName: 'my-app', lifecyclePolicyText: JSON.stringify(lifecyclePolicy) }))
  console.log(lifecyclePolicyText)
  await say('aws ecr start-lifecycle-policy-preview --repository-name my-app && aws ecr get-lifecycle-policy-preview --repository-name my-app')
  await ecr.send(new StartLifecyclePolicyPreviewCommand({ repositoryName: 'my-app' }))
  await waitUntilLifecyclePolicyPreviewComplete({ client: ecr, maxWaitTime: 30, minDelay: 1, maxDelay: 1 }, { repositoryName: 'my-app' })
  const { summary } = await ecr.send(new GetLifecyclePolicyPreviewCommand({ repositoryName: 'my-app' }))
  console.log(`it would expire ${String(summary?.expiringImageTotalCount ?? 0)} images today`)

  await say('aws ecr batch-delete-image --repository-name my-app --image-ids imageTag=v1.0.0')
  const deleted = await ecr.send(new BatchDeleteImageCommand({ repositoryName: 'my-app', imageIds: [{ imageTag: 'v1.0.0' }] }))
  console.log(`deleted ${String(deleted.imageIds?.[0]?.imageDigest)}`)
  registry.close()
} finally {
  ecr.destroy()
  await server.stop()
}
console.log('\nThe throw-away server and its data are gone. Your own: make run')
