import { expect, describe, it } from 'vitest'
import { buildImage, digestOf } from '../support/images.ts'
import { createDistributionClient } from '../support/distribution-client.ts'
import { absentRepository, broken, defaultAccountId, onEveryDatabase, refusalOf, type EcrUnderTest } from './ecr-under-test.ts'

/* Repository creation templates, and the repositories that pushes make by them. */

const role = `arn:aws:iam::${defaultAccountId}:role/creator`

onEveryDatabase((server) => {
  let prefixes = 0
  const freePrefix = (): string => `area${++prefixes}`

  const registryIdAnd = (template: object) => ({ registryId: defaultAccountId, repositoryCreationTemplate: template })
  const absentTemplate = (prefix: string): string =>
    `TemplateNotFoundException: The repository creation template with prefix '${prefix}' does not exist in the registry with id '${defaultAccountId}'`

  describe('templates', () => {
    it('are answered with ECR’s defaults', async () => {
      const { ecr } = server()
      const prefix = freePrefix()

      const created = await ecr.createRepositoryCreationTemplate({ prefix, appliedFor: ['CREATE_ON_PUSH'] })

      const template = {
        prefix,
        encryptionConfiguration: { encryptionType: 'AES256' },
        imageTagMutability: 'MUTABLE',
        appliedFor: ['CREATE_ON_PUSH'],
        createdAt: expect.any(Date) as Date,
        updatedAt: expect.any(Date) as Date,
      }
      expect(created).toEqual({ ...registryIdAnd(template), $metadata: expect.anything() })
      const { repositoryCreationTemplates } = await ecr.describeRepositoryCreationTemplates({ prefixes: [prefix] })
      expect(repositoryCreationTemplates).toEqual([created.repositoryCreationTemplate])
    })

    it('take every setting, change what is sent and keep the rest', async () => {
      const { ecr } = server()
      const prefix = `${freePrefix()}/`
      const resourceTags = [{ Key: 'team', Value: 'a' }]
      const imageTagMutabilityExclusionFilters = [{ filterType: 'WILDCARD' as const, filter: 'dev-*' }]
      await ecr.createRepositoryCreationTemplate({
        prefix,
        description: 'first',
        appliedFor: ['CREATE_ON_PUSH', 'REPLICATION', 'PULL_THROUGH_CACHE'],
        imageTagMutability: 'IMMUTABLE_WITH_EXCLUSION',
        imageTagMutabilityExclusionFilters,
        encryptionConfiguration: { encryptionType: 'AES256', kmsKey: '' },
        resourceTags,
        lifecyclePolicy: '',
        repositoryPolicy: '',
        customRoleArn: role,
      })

      const described = await ecr.updateRepositoryCreationTemplate({ prefix: prefix.slice(0, -1), description: 'second' })
      expect(described.repositoryCreationTemplate).toMatchObject({
        prefix,
        description: 'second',
        appliedFor: ['CREATE_ON_PUSH', 'REPLICATION', 'PULL_THROUGH_CACHE'],
        imageTagMutability: 'IMMUTABLE_WITH_EXCLUSION',
        imageTagMutabilityExclusionFilters,
        resourceTags,
        customRoleArn: role,
      })

      const { repositoryCreationTemplate: emptied } = await ecr.updateRepositoryCreationTemplate({
        prefix,
        description: '',
        imageTagMutability: 'MUTABLE',
        resourceTags: [],
        customRoleArn: '',
        appliedFor: ['REPLICATION'],
      })
      expect(emptied).toMatchObject({ imageTagMutability: 'MUTABLE', appliedFor: ['REPLICATION'] })
      for (const gone of ['description', 'resourceTags', 'customRoleArn', 'imageTagMutabilityExclusionFilters']) {
        expect(emptied).not.toHaveProperty(gone)
      }
    })

    it('are one for a prefix, written with a slash at its end or without', async () => {
      const { ecr } = server()
      const prefix = freePrefix()
      await ecr.createRepositoryCreationTemplate({ prefix, appliedFor: ['CREATE_ON_PUSH'] })

      expect(
        await refusalOf(ecr.createRepositoryCreationTemplate({ prefix: `${prefix}/`, appliedFor: ['CREATE_ON_PUSH'] })),
      ).toBe(
        `TemplateAlreadyExistsException: The repository creation template with prefix '${prefix}' already exists in the registry with id '${defaultAccountId}'`,
      )
      const deleted = await ecr.deleteRepositoryCreationTemplate({ prefix: `${prefix}/` })
      expect(deleted).toMatchObject(registryIdAnd({ prefix }))
    })

    it('that are not there are told so, or left out', async () => {
      const { ecr } = server()
      const prefix = freePrefix()

      expect(await refusalOf(ecr.updateRepositoryCreationTemplate({ prefix, description: '' }))).toBe(absentTemplate(prefix))
      expect(await refusalOf(ecr.deleteRepositoryCreationTemplate({ prefix }))).toBe(absentTemplate(prefix))
      expect(await ecr.describeRepositoryCreationTemplates({ prefixes: [prefix] })).toMatchObject({
        repositoryCreationTemplates: [],
      })
    })

    it('are listed in pages, in the order of their prefixes', async () => {
      const { ecr } = server()
      const area = freePrefix()
      const made = Array.from({ length: 5 }, (_, n) => `${area}/${n}`)
      for (const prefix of made) await ecr.createRepositoryCreationTemplate({ prefix, appliedFor: ['REPLICATION'] })

      const listed: string[] = []
      let nextToken: string | undefined
      do {
        const page = await ecr.describeRepositoryCreationTemplates({ maxResults: 2, nextToken })
        listed.push(...(page.repositoryCreationTemplates ?? []).map(({ prefix = '' }) => prefix))
        nextToken = page.nextToken
      } while (nextToken !== undefined)

      expect(listed).toEqual(listed.toSorted())
      expect(listed.filter((prefix) => prefix.startsWith(`${area}/`))).toEqual(made)
      for (const prefix of made) await ecr.deleteRepositoryCreationTemplate({ prefix })
      const other = await ecr.describeRepositoryCreationTemplates({ maxResults: 1 })
      expect(
        await refusalOf(ecr.describeRepositoryCreationTemplates({ prefixes: ['a'], nextToken: other.nextToken ?? 'x' })),
      ).toBe(broken('nextToken', 'Member must be null when prefixes is set'))
    })

    it.each([
      ['KMS, which nothing would encrypt', { encryptionConfiguration: { encryptionType: 'KMS' } }, 'encryptionConfiguration.encryptionType'],
      ['a lifecycle policy that is none', { lifecyclePolicy: JSON.stringify({ rules: [{ rulePriority: 1, selection: {}, action: { type: 'expire' }, description: 'x'.repeat(50) }] }) }, 'LifecyclePolicyText'],
      ['tags without a role', { resourceTags: [{ Key: 'a', Value: 'b' }] }, 'customRoleArn'],
      ['a role that is none', { customRoleArn: `arn:aws:iam::${defaultAccountId}:user/a` }, 'customRoleArn'],
      ['a role of another account', { customRoleArn: 'arn:aws:iam::999988887777:role/a' }, 'customRoleArn'],
      ['no use', { appliedFor: [] }, 'appliedFor'],
      ['an unknown use', { appliedFor: ['EVERYTHING'] }, 'appliedFor.1.member'],
      ['a mode without its filters', { imageTagMutability: 'IMMUTABLE_WITH_EXCLUSION' }, 'imageTagMutabilityExclusionFilters'],
      ['filters without a mode', { imageTagMutabilityExclusionFilters: [{ filterType: 'WILDCARD', filter: 'a' }] }, 'imageTagMutabilityExclusionFilters'],
      ['a long description', { description: 'a'.repeat(257) }, 'description'],
      ['capitals', { prefix: 'Area' }, 'prefix'],
      ['an empty prefix', { prefix: '' }, 'prefix'],
      ['ROOT with more behind it', { prefix: 'ROOT/a' }, 'prefix'],
    ])('refuse %s, and nothing is made', async (_, wrong, field) => {
      const { ecr } = server()
      const prefix = freePrefix()

      const refusal = await refusalOf(
        ecr.createRepositoryCreationTemplate({ prefix, appliedFor: ['CREATE_ON_PUSH'], ...(wrong as object) }),
      )

      expect(refusal).toContain(`InvalidParameterException: Invalid parameter at '${field}'`)
      expect(await ecr.describeRepositoryCreationTemplates({ prefixes: [prefix] })).toMatchObject({
        repositoryCreationTemplates: [],
      })
    })

    it('refuse a change that would leave tags without a role', async () => {
      const { ecr } = server()
      const prefix = freePrefix()
      const resourceTags = [{ Key: 'a', Value: 'b' }]
      await ecr.createRepositoryCreationTemplate({ prefix, appliedFor: ['CREATE_ON_PUSH'], resourceTags, customRoleArn: role })

      expect(await refusalOf(ecr.updateRepositoryCreationTemplate({ prefix, customRoleArn: '' }))).toBe(
        broken('customRoleArn', 'Member must not be null when resourceTags is set'),
      )
      expect(await ecr.describeRepositoryCreationTemplates({ prefixes: [prefix] })).toMatchObject({
        repositoryCreationTemplates: [{ customRoleArn: role, resourceTags }],
      })
    })

    it('are at most fifty, however many come at once', async () => {
      const { ecr } = server()
      const before = (await ecr.describeRepositoryCreationTemplates({ maxResults: 1000 })).repositoryCreationTemplates?.length ?? 0
      const area = freePrefix()

      const answers = await Promise.allSettled(
        Array.from({ length: 60 - before }, (_, n) =>
          ecr.createRepositoryCreationTemplate({ prefix: `${area}/${n}`, appliedFor: ['REPLICATION'] }),
        ),
      )

      const { repositoryCreationTemplates = [] } = await ecr.describeRepositoryCreationTemplates({ maxResults: 1000 })
      for (const { prefix = '' } of repositoryCreationTemplates) {
        if (prefix.startsWith(`${area}/`)) await ecr.deleteRepositoryCreationTemplate({ prefix })
      }
      expect(repositoryCreationTemplates).toHaveLength(50)
      const refusals = answers.flatMap((each) => (each.status === 'rejected' ? [(each.reason as Error).name] : []))
      expect(refusals).toEqual(Array.from({ length: 10 }, () => 'LimitExceededException'))
    })
  })

  describe('a push to a repository that is not there', () => {
    const image = buildImage({ seed: 'first push' })

    async function templateFor(prefix: string, settings: object = {}): Promise<void> {
      await server().ecr.createRepositoryCreationTemplate({ prefix, appliedFor: ['CREATE_ON_PUSH'], ...settings })
    }

    it('makes it as the template of the longest prefix says', async () => {
      const { ecr, pushImage } = server()
      const area = freePrefix()
      await templateFor(area, { imageTagMutability: 'IMMUTABLE' })
      await templateFor(`${area}/team`, {
        imageTagMutability: 'MUTABLE_WITH_EXCLUSION',
        imageTagMutabilityExclusionFilters: [{ filterType: 'WILDCARD', filter: 'v*' }],
      })
      await ecr.createRepositoryCreationTemplate({ prefix: `${area}/team/sub`, appliedFor: ['REPLICATION'] })
      const repositoryName = `${area}/team/sub/app`

      await pushImage(repositoryName, image, 'v1')

      const { repositories } = await ecr.describeRepositories({ repositoryNames: [repositoryName] })
      expect(repositories?.[0]).toMatchObject({
        imageTagMutability: 'MUTABLE_WITH_EXCLUSION',
        imageTagMutabilityExclusionFilters: [{ filterType: 'WILDCARD', filter: 'v*' }],
        imageScanningConfiguration: { scanOnPush: false },
      })
      expect((await ecr.listImages({ repositoryName })).imageIds).toMatchObject([{ imageTag: 'v1' }])
    })

    it('gives it the lifecycle policy of the template, as it was then', async () => {
      const { ecr, pushImage } = server()
      const area = freePrefix()
      const selection = { tagStatus: 'untagged', countType: 'sinceImagePushed', countUnit: 'days', countNumber: 30 }
      const lifecyclePolicy = JSON.stringify({ rules: [{ rulePriority: 1, description: 'old ones', selection, action: { type: 'expire' } }] })
      await templateFor(area, { lifecyclePolicy: ` ${lifecyclePolicy}` })
      const { repositoryCreationTemplates } = await ecr.describeRepositoryCreationTemplates({ prefixes: [area] })
      expect(repositoryCreationTemplates).toMatchObject([{ lifecyclePolicy }])
      const repositoryName = `${area}/app`
      await pushImage(repositoryName, image, 'v1')
      const { repositoryCreationTemplate } = await ecr.updateRepositoryCreationTemplate({ prefix: area, lifecyclePolicy: '' })
      expect(repositoryCreationTemplate?.lifecyclePolicy).toBeUndefined()
      await pushImage(`${area}/later`, image, 'v1')

      expect(await ecr.getLifecyclePolicy({ repositoryName })).toMatchObject({ lifecyclePolicyText: lifecyclePolicy })
      await expect(ecr.getLifecyclePolicy({ repositoryName: `${area}/later` })).rejects.toThrow('Lifecycle policy does not exist')
    })

    it('changes nothing of a repository that is there', async () => {
      const { ecr, pushImage } = server()
      const area = freePrefix()
      const repositoryName = `${area}/app`
      await ecr.createRepository({ repositoryName })
      await templateFor(area, { imageTagMutability: 'IMMUTABLE' })

      await pushImage(repositoryName, image, 'v1')

      const { repositories } = await ecr.describeRepositories({ repositoryNames: [repositoryName] })
      expect(repositories?.[0]?.imageTagMutability).toBe('MUTABLE')
    })

    it('falls back on ROOT, and without a template makes nothing', async () => {
      const { ecr, freeName, pushImage } = server()
      const repositoryName = freeName()
      await ecr.createRepositoryCreationTemplate({ prefix: repositoryName, appliedFor: ['CREATE_ON_PUSH'] })

      // The template is for what is below the name, not for the name itself.
      await expect(pushImage(repositoryName, image, 'v1')).rejects.toThrow('404')
      expect(await refusalOf(ecr.initiateLayerUpload({ repositoryName }))).toBe(absentRepository(repositoryName))
      expect(await refusalOf(ecr.describeRepositories({ repositoryNames: [repositoryName] }))).toBe(absentRepository(repositoryName))

      await templateFor('ROOT', { imageTagMutability: 'IMMUTABLE' })
      await pushImage(repositoryName, image, 'v1')
      await ecr.deleteRepositoryCreationTemplate({ prefix: 'ROOT' })
      const { repositories } = await ecr.describeRepositories({ repositoryNames: [repositoryName] })
      expect(repositories?.[0]?.imageTagMutability).toBe('IMMUTABLE')
    })

    it('makes it by ECR’s own calls as well', async () => {
      const { ecr, pushLayer } = server()
      const area = freePrefix()
      await templateFor(area)
      const layer = Buffer.from(`layer of ${area}`)

      await pushLayer(`${area}/layers`, layer, digestOf(layer))
      expect(
        await refusalOf(ecr.putImage({ repositoryName: `${area}/images`, imageManifest: image.manifest.bytes.toString() })),
      ).toMatch(/^LayersNotFoundException/)

      const { repositories } = await ecr.describeRepositories({ repositoryNames: [`${area}/layers`, `${area}/images`] })
      expect(repositories).toHaveLength(2)
    })

    it.each([
      ['an upload', (path: string) => `${path}/blobs/uploads/`],
      ['a mount', (path: string) => `${path}/blobs/uploads/?mount=${image.blobs[1]?.digest ?? ''}&from=no/such`],
      ['a mount from anywhere', (path: string) => `${path}/blobs/uploads/?mount=${image.blobs[1]?.digest ?? ''}`],
    ])('makes it with %s', async (_, target) => {
      const { ecr } = server()
      const area = freePrefix()
      await templateFor(area)

      expect((await request(server(), 'POST', target(`/v2/${area}/app`))).status).toBeOneOf([201, 202])
      const { repositories } = await ecr.describeRepositories({ repositoryNames: [`${area}/app`] })
      expect(repositories).toHaveLength(1)
    })

    it('makes one, however many push to it at once', { timeout: 60_000 }, async () => {
      const { ecr, pushImage } = server()
      const area = freePrefix()
      await templateFor(area)
      const repositoryName = `${area}/app`
      const images = Array.from({ length: 8 }, (_, n) => buildImage({ seed: `race ${n}` }))

      await Promise.all(images.map((each, n) => pushImage(repositoryName, each, `v${n}`)))

      const { imageIds = [] } = await ecr.listImages({ repositoryName })
      expect(imageIds.map(({ imageTag }) => imageTag).toSorted()).toEqual(images.map((_, n) => `v${n}`))
      const { repositories = [] } = await ecr.describeRepositories({ maxResults: 1000 })
      expect(repositories.filter((each) => each.repositoryName === repositoryName)).toHaveLength(1)
    })

    it('that only reads makes nothing', async () => {
      const { ecr } = server()
      const area = freePrefix()
      await templateFor(area)
      const path = `/v2/${area}/app`

      for (const read of ['/manifests/v1', '/tags/list', `/blobs/${image.blobs[1]?.digest ?? ''}`]) {
        expect((await request(server(), 'GET', path + read)).status).toBe(404)
      }
      expect(await refusalOf(ecr.describeImages({ repositoryName: `${area}/app` }))).toBe(absentRepository(`${area}/app`))
    })
  })
})

async function request({ platform }: EcrUnderTest, method: 'GET' | 'POST', path: string): Promise<{ status: number }> {
  const { accessKeyId: username, secretAccessKey: password } = platform.credentials
  const client = createDistributionClient(platform.url, { username, password })
  try {
    return await client.request(method, path)
  } finally {
    client.close()
  }
}
