import { CreateRepositoryCommand, ECR, paginateDescribeImages, paginateListImages } from '@aws-sdk/client-ecr'
import { expect, it } from 'vitest'
import { buildArtifact, buildImage, type Image } from '../support/images.ts'
import { absentRepository, broken, onEveryDatabase, refusalOf } from './ecr-under-test.ts'

const signature = 'application/vnd.example.signature'
const sbom = 'application/vnd.example.sbom'

onEveryDatabase((server) => {
  async function subjectWithReferrers(): Promise<{ repositoryName: string; subject: Image; referrers: Image[] }> {
    const { newRepository, pushImage } = server()
    const repositoryName = await newRepository()
    const subject = buildImage({ seed: 'subject' })
    await pushImage(repositoryName, subject, 'v1')
    const referrers: Image[] = []
    for (const [n, artifactType] of [signature, sbom, signature, 'third/type', sbom].entries()) {
      const referrer = buildArtifact({ artifactType, subject: subject.manifest, annotations: { n: String(n) } })
      await pushImage(repositoryName, referrer)
      referrers.push(referrer)
    }
    return { repositoryName, subject, referrers }
  }

  it('ListImageReferrers tells what refers to an image, and what of it', async () => {
    const { ecr } = server()
    const { repositoryName, subject, referrers } = await subjectWithReferrers()
    const subjectId = { imageDigest: subject.manifest.digest }

    const answer = await ecr.listImageReferrers({ repositoryName, subjectId })

    expect(answer.nextToken).toBeUndefined()
    expect(answer.referrers?.map(({ digest }) => digest)).toEqual(referrers.map(({ manifest }) => manifest.digest))
    expect(answer.referrers?.[0]).toEqual({
      digest: referrers[0]!.manifest.digest,
      mediaType: referrers[0]!.manifest.mediaType,
      artifactType: signature,
      size: referrers[0]!.manifest.bytes.length,
      annotations: { n: '0' },
      artifactStatus: 'ACTIVE',
    })
    // The docker endpoint lists the same.
    const { platform } = server()
    const index = await fetch(`${platform.url}/v2/${repositoryName}/referrers/${subject.manifest.digest}`, {
      headers: { authorization: platform.authorization },
    })
    const { manifests } = (await index.json()) as { manifests: { digest: string }[] }
    expect(manifests.map(({ digest }) => digest)).toEqual(answer.referrers?.map(({ digest }) => digest))
  })

  it('ListImageReferrers filters by types and state', async () => {
    const { ecr } = server()
    const { repositoryName, subject } = await subjectWithReferrers()
    const subjectId = { imageDigest: subject.manifest.digest }
    const typesOf = async (filter: { artifactTypes?: string[]; artifactStatus?: 'ACTIVE' | 'ARCHIVED' | 'ACTIVATING' | 'ANY' }) =>
      (await ecr.listImageReferrers({ repositoryName, subjectId, filter })).referrers?.map(({ artifactType }) => artifactType)

    expect(await typesOf({ artifactTypes: [sbom] })).toEqual([sbom, sbom])
    expect(await typesOf({ artifactTypes: [sbom, 'third/type', 'absent'] })).toEqual([sbom, 'third/type', sbom])
    expect(await typesOf({ artifactTypes: [] })).toHaveLength(5)
    expect(await typesOf({ artifactTypes: ['absent'] })).toEqual([])
    for (const [artifactStatus, count] of [['ACTIVE', 5], ['ANY', 5], ['ARCHIVED', 0], ['ACTIVATING', 0]] as const) {
      expect(await typesOf({ artifactStatus })).toHaveLength(count)
    }
  })

  it('ListImageReferrers gives pages whose tokens are good for their own list only', async () => {
    const { ecr, newRepository } = server()
    const { repositoryName, subject, referrers } = await subjectWithReferrers()
    const subjectId = { imageDigest: subject.manifest.digest }

    const first = await ecr.listImageReferrers({ repositoryName, subjectId, maxResults: 2 })
    const second = await ecr.listImageReferrers({ repositoryName, subjectId, maxResults: 2, nextToken: first.nextToken })
    const third = await ecr.listImageReferrers({ repositoryName, subjectId, maxResults: 2, nextToken: second.nextToken })

    expect([first, second, third].map((page) => page.referrers?.length)).toEqual([2, 2, 1])
    expect([first, second, third].flatMap((page) => page.referrers ?? []).map(({ digest }) => digest)).toEqual(
      referrers.map(({ manifest }) => manifest.digest),
    )
    expect(third.nextToken).toBeUndefined()

    const { nextToken } = first
    const refusal = broken('nextToken', 'Member must be a token that this list has given out')
    const other = { imageDigest: referrers[0]!.manifest.digest }
    expect(await refusalOf(ecr.listImageReferrers({ repositoryName, subjectId: other, nextToken }))).toBe(refusal)
    expect(await refusalOf(ecr.listImageReferrers({ repositoryName, subjectId, nextToken, filter: { artifactTypes: [sbom] } }))).toBe(refusal)
    expect(await refusalOf(ecr.listImageReferrers({ repositoryName, subjectId, nextToken, filter: { artifactStatus: 'ANY' } }))).toBe(refusal)
    expect(await refusalOf(ecr.listImageReferrers({ repositoryName: await newRepository(), subjectId, nextToken }))).toBe(refusal)
    expect(await refusalOf(ecr.listImages({ repositoryName, nextToken }))).toBe(refusal)
  })

  it('ListImageReferrers refuses what ECR refuses', async () => {
    const { ecr, freeName, newRepository } = server()
    const repositoryName = await newRepository()
    const absent = { imageDigest: `sha256:${'0'.repeat(64)}` }
    const missing = freeName()

    expect(await refusalOf(ecr.listImageReferrers({ repositoryName: missing, subjectId: absent }))).toBe(absentRepository(missing))
    expect((await ecr.listImageReferrers({ repositoryName, subjectId: absent })).referrers).toEqual([])
    expect((await ecr.listImageReferrers({ repositoryName, subjectId: { imageDigest: 'sha256:abc' } })).referrers).toEqual([])
    const refused = (input: object): Promise<string> =>
      refusalOf(ecr.listImageReferrers({ repositoryName, subjectId: absent, ...input }))
    expect(await refused({ maxResults: 51 })).toMatch(/^InvalidParameterException: .*'maxResults'.*less than or equal to 50/)
    expect(await refused({ maxResults: 0 })).toMatch(/^InvalidParameterException: .*'maxResults'.*greater than or equal to 1/)
    expect(await refused({ filter: { artifactTypes: ['1', '2', '3', '4', '5', '6'] } })).toMatch(/^InvalidParameterException: .*artifactTypes/)
    expect(await refused({ filter: { artifactTypes: ['x'.repeat(256)] } })).toMatch(/^InvalidParameterException: .*artifactTypes/)
    expect(await refused({ filter: { artifactStatus: 'GONE' } })).toMatch(/^InvalidParameterException: .*artifactStatus/)
    expect(await refused({ subjectId: { imageDigest: 'not a digest' } })).toMatch(/^InvalidParameterException: .*imageDigest/)
    expect(await refused({ subjectId: {} })).toMatch(/^InvalidParameterException: .*imageDigest/)
  })

  it('the SDK’s paginators give every image once, under any filter', async () => {
    const { ecr } = server()
    const { repositoryName, subject, referrers } = await subjectWithReferrers()
    for (const [tagStatus, count] of [['TAGGED', 1], ['UNTAGGED', referrers.length], ['ANY', referrers.length + 1]] as const) {
      const listed: (string | undefined)[] = []
      // The paginators write the token into their input.
      const input = () => ({ repositoryName, filter: { tagStatus, imageStatus: 'ANY' as const } })
      for await (const page of paginateListImages({ client: ecr, pageSize: 2 }, input())) {
        listed.push(...(page.imageIds ?? []).map(({ imageDigest }) => imageDigest))
      }
      const described: (string | undefined)[] = []
      for await (const page of paginateDescribeImages({ client: ecr, pageSize: 2 }, input())) {
        described.push(...(page.imageDetails ?? []).map(({ imageDigest }) => imageDigest))
      }
      expect([new Set(listed).size, listed.length, new Set(described).size, described.length]).toEqual([count, count, count, count])
      expect(listed.includes(subject.manifest.digest)).toBe(tagStatus !== 'UNTAGGED')
    }
  })

  it('a page token tells nothing, and opens no list in another registry', async () => {
    const { ecr, platform } = server()
    const { repositoryName, subject } = await subjectWithReferrers()
    const elsewhere = new ECR({ endpoint: platform.url, region: 'eu-west-1', credentials: platform.credentials, maxAttempts: 1 })
    await elsewhere.send(new CreateRepositoryCommand({ repositoryName }))
    const one = await ecr.listImages({ repositoryName, maxResults: 1 })
    const again = await ecr.listImages({ repositoryName, maxResults: 1 })

    expect(one.nextToken).not.toBe(again.nextToken)
    const parts = (one.nextToken ?? '').split('.').map((part) => Buffer.from(part, 'base64url').toString('latin1'))
    for (const text of [one.nextToken ?? '', ...parts]) expect(text).not.toMatch(new RegExp(`${repositoryName}|v1$|"[0-9]+`))
    const refusal = broken('nextToken', 'Member must be a token that this list has given out')
    expect(await refusalOf(elsewhere.listImages({ repositoryName, nextToken: one.nextToken }))).toBe(refusal)
    const page = await ecr.listImageReferrers({ repositoryName, subjectId: { imageDigest: subject.manifest.digest }, maxResults: 1 })
    expect(
      await refusalOf(
        elsewhere.listImageReferrers({ repositoryName, subjectId: { imageDigest: subject.manifest.digest }, nextToken: page.nextToken }),
      ),
    ).toBe(refusal)
    elsewhere.destroy()
  })
})
