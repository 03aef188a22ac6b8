import { describe, expect, it } from 'vitest'
import { buildImage } from '../support/images.ts'
import { absentRepository, broken, defaultAccountId, onEveryDatabase, refusalOf } from './ecr-under-test.ts'

onEveryDatabase((server) => {
  describe('CreateRepository', () => {
    it('answers the whole repository', async () => {
      const { ecr, platform, freeName } = server()
      const repositoryName = freeName()
      const before = Date.now()

      const { repository } = await ecr.createRepository({ repositoryName })

      expect(repository).toEqual({
        repositoryArn: `arn:aws:ecr:us-east-1:${defaultAccountId}:repository/${repositoryName}`,
        registryId: defaultAccountId,
        repositoryName,
        repositoryUri: `${platform.host}/${repositoryName}`,
        createdAt: expect.any(Date),
        imageTagMutability: 'MUTABLE',
        imageScanningConfiguration: { scanOnPush: false },
        encryptionConfiguration: { encryptionType: 'AES256' },
      })
      const createdAt = repository?.createdAt?.getTime() ?? 0
      expect(createdAt).toBeGreaterThanOrEqual(before)
      expect(createdAt).toBeLessThanOrEqual(Date.now())
    })

    it('takes every setting, and keeps it', async () => {
      const { ecr, freeName } = server()
      const repositoryName = freeName()
      const filters = [
        { filterType: 'WILDCARD' as const, filter: 'latest' },
        { filterType: 'WILDCARD' as const, filter: 'dev-*' },
      ]

      const { repository } = await ecr.createRepository({
        registryId: defaultAccountId,
        repositoryName,
        tags: [
          { Key: 'team', Value: 'platform' },
          { Key: '__proto__', Value: '' },
        ],
        imageTagMutability: 'IMMUTABLE_WITH_EXCLUSION',
        imageTagMutabilityExclusionFilters: filters,
        imageScanningConfiguration: { scanOnPush: true },
        encryptionConfiguration: { encryptionType: 'AES256' },
      })

      expect(repository).toMatchObject({
        imageTagMutability: 'IMMUTABLE_WITH_EXCLUSION',
        imageTagMutabilityExclusionFilters: filters,
        imageScanningConfiguration: { scanOnPush: true },
      })
      const described = await ecr.describeRepositories({ repositoryNames: [repositoryName] })
      expect(described.repositories).toEqual([repository])
      const { tags } = await ecr.listTagsForResource({ resourceArn: repository?.repositoryArn })
      expect(tags?.toSorted((a, b) => (a.Key ?? '').localeCompare(b.Key ?? ''))).toEqual([
        { Key: '__proto__', Value: '' },
        { Key: 'team', Value: 'platform' },
      ])
    })

    it('refuses a name that is taken', async () => {
      const { ecr, newRepository } = server()
      const repositoryName = await newRepository()

      expect(await refusalOf(ecr.createRepository({ repositoryName }))).toBe(
        `RepositoryAlreadyExistsException: The repository with name '${repositoryName}' already exists in the registry with id '${defaultAccountId}'`,
      )
    })

    it('lets one of many at once have a name', async () => {
      const { ecr, freeName } = server()
      const repositoryName = freeName()

      const attempts = await Promise.allSettled(Array.from({ length: 20 }, () => ecr.createRepository({ repositoryName })))

      expect(attempts.filter(({ status }) => status === 'fulfilled')).toHaveLength(1)
      const reasons = attempts.flatMap((attempt) => (attempt.status === 'rejected' ? [attempt.reason.name] : []))
      expect(new Set(reasons)).toEqual(new Set(['RepositoryAlreadyExistsException']))
    })

    it.each(['KMS', 'KMS_DSSE'] as const)('refuses %s, which it could not keep, and makes nothing', async (encryptionType) => {
      const { ecr, freeName } = server()
      const repositoryName = freeName()

      const refusal = await refusalOf(ecr.createRepository({ repositoryName, encryptionConfiguration: { encryptionType } }))

      expect(refusal).toContain('InvalidParameterException')
      expect(refusal).toContain('KMS encryption is not enforced by this server yet')
      expect(await refusalOf(ecr.describeRepositories({ repositoryNames: [repositoryName] }))).toBe(
        absentRepository(repositoryName),
      )
    })

    it('refuses a key for an encryption that has none', async () => {
      const { ecr, freeName } = server()

      expect(
        await refusalOf(
          ecr.createRepository({
            repositoryName: freeName(),
            encryptionConfiguration: { encryptionType: 'AES256', kmsKey: 'alias/key' },
          }),
        ),
      ).toBe(broken('encryptionConfiguration.kmsKey', 'Member must be null when encryptionType is AES256'))
    })

    it('refuses tags that break the rules, and makes nothing', async () => {
      const { ecr, freeName } = server()
      const repositoryName = freeName()
      const create = (tags: { Key: string; Value: string }[]): Promise<string> =>
        refusalOf(ecr.createRepository({ repositoryName, tags }))

      expect(await create([{ Key: 'aws:reserved', Value: '' }])).toContain('InvalidTagParameterException')
      expect(await create([{ Key: '', Value: '' }])).toContain('InvalidTagParameterException')
      expect(await create([{ Key: 'k'.repeat(129), Value: '' }])).toContain('InvalidTagParameterException')
      expect(await create([{ Key: 'k', Value: 'v'.repeat(257) }])).toContain('InvalidTagParameterException')
      expect(await create([{ Key: 'k', Value: '1' }, { Key: 'k', Value: '2' }])).toContain('InvalidTagParameterException')
      expect(await create(manyTags(51))).toContain('TooManyTagsException')
      await ecr.createRepository({ repositoryName, tags: [...manyTags(49), { Key: 'k'.repeat(128), Value: 'v'.repeat(256) }] })
    })
  })

  describe('DescribeRepositories', () => {
    it('gives the repositories of a list of names, each once', async () => {
      const { ecr, newRepository } = server()
      const [first, second] = [await newRepository(), await newRepository()]

      const { repositories, nextToken } = await ecr.describeRepositories({ repositoryNames: [second, first, second] })

      expect(repositories?.map(({ repositoryName }) => repositoryName)).toEqual([second, first])
      expect(nextToken).toBeUndefined()
    })

    it('fails as a whole for one unknown name', async () => {
      const { ecr, newRepository } = server()
      const known = await newRepository()

      expect(await refusalOf(ecr.describeRepositories({ repositoryNames: [known, 'un/known'] }))).toBe(
        absentRepository('un/known'),
      )
    })

    it('gives page after page in the order of names, each repository once', async () => {
      const { ecr } = server()
      const names = ['paging/b', 'paging/a', 'paging/b-c', 'paging/z', 'paging/b/c']
      for (const repositoryName of names) await ecr.createRepository({ repositoryName })

      const seen: string[] = []
      let nextToken: string | undefined
      do {
        const page = await ecr.describeRepositories({ maxResults: 2, nextToken })
        expect(page.repositories?.length).toBeLessThanOrEqual(2)
        seen.push(...(page.repositories ?? []).map(({ repositoryName }) => repositoryName ?? ''))
        nextToken = page.nextToken
      } while (nextToken !== undefined)

      expect(seen.filter((name) => name.startsWith('paging/'))).toEqual(names.toSorted())
      expect(new Set(seen).size).toBe(seen.length)
      const whole = await ecr.describeRepositories({})
      expect(whole.repositories?.map(({ repositoryName }) => repositoryName)).toEqual(seen)
      expect(whole.nextToken).toBeUndefined()
    })

    it('has pages of 100 unless told otherwise', async () => {
      const { ecr } = server()
      for (let index = 0; index < 101; index++) await ecr.createRepository({ repositoryName: `hundred/${index}` })

      const page = await ecr.describeRepositories({})

      expect(page.repositories).toHaveLength(100)
      expect(page.nextToken).toBeDefined()
      for (let index = 0; index < 101; index++) await ecr.deleteRepository({ repositoryName: `hundred/${index}` })
    })

    it('goes on where a page ended, though the repository there was deleted', async () => {
      const { ecr } = server()
      for (const name of ['gone/a', 'gone/b', 'gone/c']) await ecr.createRepository({ repositoryName: name })
      let page = await ecr.describeRepositories({ maxResults: 1 })
      while (page.repositories?.[0]?.repositoryName !== 'gone/a') {
        page = await ecr.describeRepositories({ maxResults: 1, nextToken: page.nextToken })
      }
      await ecr.deleteRepository({ repositoryName: 'gone/a' })

      const next = await ecr.describeRepositories({ maxResults: 1, nextToken: page.nextToken })

      expect(next.repositories?.[0]?.repositoryName).toBe('gone/b')
    })

    it('refuses a token beside names, a token of another list and what never was a token', async () => {
      const { ecr, newRepository } = server()
      const repositoryName = await newRepository()
      await newRepository()
      const { nextToken } = await ecr.describeRepositories({ maxResults: 1 })

      expect(await refusalOf(ecr.describeRepositories({ repositoryNames: [repositoryName], nextToken }))).toBe(
        broken('nextToken', 'Member must be null when repositoryNames is set'),
      )
      const foreign = broken('nextToken', 'Member must be a token that this list has given out')
      expect(await refusalOf(ecr.listImages({ repositoryName, nextToken }))).toBe(foreign)
      for (const wrong of ['', 'x', 'a.b', `${nextToken}x`, (nextToken ?? '').replace(/^./, 'x')]) {
        expect(await refusalOf(ecr.describeRepositories({ nextToken: wrong }))).toBe(foreign)
      }
    })
  })

  describe('DeleteRepository', () => {
    it('answers what it deleted', async () => {
      const { ecr, createdRepository } = server()
      const repository = await createdRepository()
      const { repositoryName } = repository

      const deleted = await ecr.deleteRepository({ repositoryName })

      expect(deleted.repository).toEqual(repository)
      expect(await refusalOf(ecr.deleteRepository({ repositoryName }))).toBe(absentRepository(repositoryName ?? ''))
    })

    it('refuses one with images, unless forced; its name is then free and empty', async () => {
      const { ecr, newRepository, pushImage } = server()
      const repositoryName = await newRepository()
      await pushImage(repositoryName, buildImage(), 'v1')

      const notEmpty = `RepositoryNotEmptyException: The repository with name '${repositoryName}' in registry with id '${defaultAccountId}' cannot be deleted because it still contains images`
      expect(await refusalOf(ecr.deleteRepository({ repositoryName }))).toBe(notEmpty)
      expect(await refusalOf(ecr.deleteRepository({ repositoryName, force: false }))).toBe(notEmpty)
      await ecr.deleteRepository({ repositoryName, force: true })

      await ecr.createRepository({ repositoryName })
      expect((await ecr.listImages({ repositoryName })).imageIds).toEqual([])
      await ecr.deleteRepository({ repositoryName })
    })
  })

  describe('PutImageTagMutability', () => {
    it('sets mode and filters for the pushes to come', async () => {
      const { ecr, newRepository, pushImage } = server()
      const repositoryName = await newRepository()
      await pushImage(repositoryName, buildImage({ seed: 'first' }), 'v1')
      const filters = [{ filterType: 'WILDCARD' as const, filter: 'dev*' }]

      const answer = await ecr.putImageTagMutability({
        repositoryName,
        imageTagMutability: 'IMMUTABLE_WITH_EXCLUSION',
        imageTagMutabilityExclusionFilters: filters,
      })

      expect(answer).toMatchObject({
        registryId: defaultAccountId,
        repositoryName,
        imageTagMutability: 'IMMUTABLE_WITH_EXCLUSION',
        imageTagMutabilityExclusionFilters: filters,
      })
      const second = buildImage({ seed: 'second' })
      await pushImage(repositoryName, second)
      const put = (imageTag: string): Promise<unknown> =>
        ecr.putImage({ repositoryName, imageTag, imageManifest: second.manifest.bytes.toString() })
      expect(await refusalOf(put('v1'))).toBe(immutable('v1', repositoryName))

      const mutable = await ecr.putImageTagMutability({ repositoryName, imageTagMutability: 'MUTABLE' })
      expect(mutable.imageTagMutabilityExclusionFilters).toBeUndefined()
      await put('v1')
    })

    it.each([
      ['IMMUTABLE', [], { v1: true, latest: true }],
      ['IMMUTABLE_WITH_EXCLUSION', ['lat*'], { v1: true, latest: false }],
      ['MUTABLE_WITH_EXCLUSION', ['v*', 'w'], { v1: true, latest: false }],
      ['MUTABLE', [], { v1: false, latest: false }],
    ] as const)('%s with filters %j', async (imageTagMutability, filters, refused) => {
      const { ecr, newRepository, pushImage } = server()
      const repositoryName = await newRepository({
        imageTagMutability,
        ...(filters.length === 0
          ? {}
          : { imageTagMutabilityExclusionFilters: filters.map((filter) => ({ filterType: 'WILDCARD', filter })) }),
      })
      const [first, second] = [buildImage({ seed: 'first' }), buildImage({ seed: 'second' })]
      await pushImage(repositoryName, second)
      for (const [imageTag, isRefused] of Object.entries(refused)) {
        await pushImage(repositoryName, first, imageTag)
        const again = ecr.putImage({ repositoryName, imageTag, imageManifest: second.manifest.bytes.toString() })
        if (isRefused) expect(await refusalOf(again)).toBe(immutable(imageTag, repositoryName))
        else expect((await again).image?.imageId?.imageTag).toBe(imageTag)
      }
    })

    it('needs filters exactly where the mode has exclusions', async () => {
      const { ecr, newRepository, freeName } = server()
      const repositoryName = await newRepository()
      const filters = [{ filterType: 'WILDCARD' as const, filter: '*' }]
      const field = 'imageTagMutabilityExclusionFilters'

      for (const mode of ['IMMUTABLE_WITH_EXCLUSION', 'MUTABLE_WITH_EXCLUSION'] as const) {
        const missing = broken(field, `ImageTagMutabilityExclusionFilters can't be null when imageTagMutability is set as ${mode}`)
        expect(await refusalOf(ecr.putImageTagMutability({ repositoryName, imageTagMutability: mode }))).toBe(missing)
        expect(await refusalOf(ecr.createRepository({ repositoryName: freeName(), imageTagMutability: mode }))).toBe(missing)
      }
      for (const mode of ['IMMUTABLE', 'MUTABLE', undefined] as const) {
        const shown = mode ?? 'MUTABLE'
        const unwanted = broken(field, `ImageTagMutabilityExclusionFilters must be null when imageTagMutability is set as ${shown}`)
        expect(
          await refusalOf(
            ecr.createRepository({
              repositoryName: freeName(),
              imageTagMutability: mode,
              imageTagMutabilityExclusionFilters: filters,
            }),
          ),
        ).toBe(unwanted)
        if (mode === undefined) continue
        expect(
          await refusalOf(
            ecr.putImageTagMutability({
              repositoryName,
              imageTagMutability: mode,
              imageTagMutabilityExclusionFilters: filters,
            }),
          ),
        ).toBe(unwanted)
      }
    })
  })

  describe('TagResource, UntagResource and ListTagsForResource', () => {
    it('add, replace, remove and list', async () => {
      const { ecr, createdRepository } = server()
      const { repositoryArn: resourceArn } = await createdRepository({ tags: [{ Key: 'stage', Value: 'dev' }] })

      await ecr.tagResource({
        resourceArn,
        tags: [
          { Key: 'team', Value: 'platform' },
          { Key: 'stage', Value: 'production' },
        ],
      })
      const tagged = await ecr.listTagsForResource({ resourceArn })
      await ecr.untagResource({ resourceArn, tagKeys: ['team', 'absent', 'team'] })
      const untagged = await ecr.listTagsForResource({ resourceArn })

      expect(tagged.tags).toEqual([
        { Key: 'stage', Value: 'production' },
        { Key: 'team', Value: 'platform' },
      ])
      expect(untagged.tags).toEqual([{ Key: 'stage', Value: 'production' }])
    })

    it('allow 50 tags of a repository, whoever adds them', async () => {
      const { ecr, createdRepository } = server()
      const { repositoryArn: resourceArn } = await createdRepository({ tags: manyTags(49) })

      const two = [
        { Key: 'one', Value: '' },
        { Key: 'two', Value: '' },
      ]
      expect(await refusalOf(ecr.tagResource({ resourceArn, tags: two }))).toContain('TooManyTagsException')
      await ecr.tagResource({ resourceArn, tags: two.slice(1) })
      expect((await ecr.listTagsForResource({ resourceArn })).tags).toHaveLength(50)
      expect(await refusalOf(ecr.untagResource({ resourceArn, tagKeys: manyTags(51).map(({ Key }) => Key) }))).toContain(
        'TooManyTagsException',
      )
      expect(await refusalOf(ecr.untagResource({ resourceArn, tagKeys: ['aws:x'] }))).toContain('InvalidTagParameterException')
    })

    it.each([
      'not an ARN',
      'arn:aws:ecr:us-east-1:000000000000:repository/',
      'arn:aws:ecr:us-east-1:000000000000:repository/Not-Lower',
      'arn:aws:ecr:us-east-1:000000000000:registry/app',
      'arn:aws:ecr:eu-west-1:000000000000:repository/team/app',
      'arn:aws:ecr:us-east-1::repository/team/app',
      'arn:aws:s3:us-east-1:000000000000:repository/team/app',
      'arn:aws-cn:ecr:us-east-1:000000000000:repository/team/app',
    ])('refuse %s', async (resourceArn) => {
      const { ecr } = server()
      const invalid = broken('resourceArn', 'Invalid ARN')

      expect(await refusalOf(ecr.listTagsForResource({ resourceArn }))).toBe(invalid)
      expect(await refusalOf(ecr.tagResource({ resourceArn, tags: [] }))).toBe(invalid)
      expect(await refusalOf(ecr.untagResource({ resourceArn, tagKeys: [] }))).toBe(invalid)
    })

    it('say when there is no such repository', async () => {
      const { ecr } = server()
      const resourceArn = `arn:aws:ecr:us-east-1:${defaultAccountId}:repository/no/such`

      expect(await refusalOf(ecr.listTagsForResource({ resourceArn }))).toBe(absentRepository('no/such'))
      expect(await refusalOf(ecr.tagResource({ resourceArn, tags: manyTags(1) }))).toBe(absentRepository('no/such'))
      expect(await refusalOf(ecr.untagResource({ resourceArn, tagKeys: ['k'] }))).toBe(absentRepository('no/such'))
    })
  })

  it('DescribeRegistry answers the registry without replication', async () => {
    const { ecr } = server()

    expect(await ecr.describeRegistry({})).toMatchObject({
      registryId: defaultAccountId,
      replicationConfiguration: { rules: [] },
    })
  })
})

function manyTags(count: number): { Key: string; Value: string }[] {
  return Array.from({ length: count }, (_, index) => ({ Key: `key-${index}`, Value: String(index) }))
}

function immutable(tag: string, repositoryName: string): string {
  return `ImageTagAlreadyExistsException: The image tag '${tag}' already exists in the '${repositoryName}' repository and cannot be overwritten because the tag is immutable.`
}
