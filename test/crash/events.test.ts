import { ECR } from '@aws-sdk/client-ecr'
import { expect, test } from 'vitest'
import { signedBy } from '../authorization/control-plane.ts'
import { Exchange } from '../authorization/exchange.ts'
import { createDatabase } from '../support/postgres.ts'
import { startStowage, type Stowage } from '../support/start-stowage.ts'
import { createTempDir } from '../support/temp-dir.ts'
import { startWebhookReceiver } from '../support/webhook-receiver.ts'

/**
 * How many deliveries are seen before each kill: none where all still wait. On PostgreSQL others wait 25 seconds for the leases of a
 * killed server.
 */
const kills = { sqlite: [0, 2, 4, 6], postgres: [3] }
const pushesBetween = 8

test.each(['sqlite', 'postgres'] as const)('on %s, a server that is killed again and again while it sends events loses none, and keeps their order', async (database) => {
  await using receiver = await startWebhookReceiver()
  const dir = createTempDir('killed-events')
  const options = {
    dataDir: dir.path,
    ...(database === 'postgres' && { databaseUrl: (await createDatabase()).url }),
    env: { STOWAGE_EVENTS_PRIVATE_HOSTS: receiver.host, STOWAGE_EVENTS_CA_FILE: receiver.caFile, STOWAGE_EVENTS_LONGEST_WAIT_MS: '200' },
  }
  let stowage: Stowage = await startStowage(options)
  const { keys, port } = stowage
  try {
    const exchange = new Exchange(stowage.url)
    const call = async (service: 'events' | 'stowage' | 'ecr', target: string, input: object): Promise<void> => {
      const { status, body } = await exchange.send({ protocol: 'json', service, target, input }, signedBy(keys))
      expect(status, body).toBe(200)
    }
    await call('stowage', 'Stowage_V1.CreateEventDestination', { destinationName: 'hook', url: receiver.url })
    await call('events', 'AWSEvents.PutRule', { Name: 'all', EventPattern: '{"source":["aws.ecr"]}' })
    await call('events', 'AWSEvents.PutTargets', { Rule: 'all', Targets: [{ Id: '1', Arn: 'arn:aws:events:us-east-1:000000000000:api-destination/hook' }] })
    await call('ecr', 'AmazonEC2ContainerRegistry_V20150921.CreateRepository', { repositoryName: 'team/app' })

    const pushed: string[] = []
    const push = async (imageTag: string): Promise<void> => {
      const ecr = new ECR({ endpoint: stowage.url, region: 'us-east-1', credentials: keys, maxAttempts: 1 })
      const imageManifest = JSON.stringify({ schemaVersion: 2, mediaType: 'application/vnd.oci.image.index.v1+json', manifests: [], annotations: { imageTag } })
      await ecr.putImage({ repositoryName: 'team/app', imageTag, imageManifest }).finally(() => ecr.destroy())
      pushed.push(imageTag)
    }
    for (const [kill, deliveries] of kills[database].entries()) {
      const seen = receiver.attempts.length
      for (let index = 0; index < pushesBetween; index++) await push(`v${kill}-${index}`)
      while (receiver.attempts.length < seen + deliveries) await new Promise((resolve) => setTimeout(resolve, 2))
      stowage.kill('SIGKILL')
      await stowage.exited
      stowage = await startStowage({ ...options, keys, port })
    }
    const endsAt = Date.now() + 90_000
    const tags = () => receiver.accepted.map(({ body }) => (JSON.parse(body) as { detail: Record<string, string> }).detail['image-tag'] ?? '')
    while (new Set(tags()).size < pushed.length && Date.now() < endsAt) await new Promise((resolve) => setTimeout(resolve, 50))

    // One that came twice came twice in a row, with one id.
    expect(tags().filter((tag, index, all) => tag !== all[index - 1])).toEqual(pushed)
    expect(new Set(receiver.accepted.map(({ headers }) => headers['webhook-id'])).size).toBe(pushed.length)
  } finally {
    await stowage.stop()
    dir.remove()
  }
})
