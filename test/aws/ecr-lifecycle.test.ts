import { waitUntilLifecyclePolicyPreviewComplete } from '@aws-sdk/client-ecr'
import { describe, expect, it } from 'vitest'
import { buildImage } from '../support/images.ts'
import { absentRepository, broken, defaultAccountId, failureOf, onEveryDatabase, refusalOf, type EcrUnderTest } from './ecr-under-test.ts'

/* Lifecycle policies as documents, and their previews. What they decide is tested elsewhere. */

const untagged = {
  rules: [
    {
      rulePriority: 1,
      description: 'Expire untagged images older than 30 days',
      selection: { tagStatus: 'untagged', countType: 'sinceImagePushed', countUnit: 'days', countNumber: 30 },
      action: { type: 'expire' },
    },
  ],
}
const keepOne = {
  rules: [
    {
      rulePriority: 7,
      description: 'Keep the newest image only, whatever its tags are, and whenever it was pushed',
      selection: { tagStatus: 'any', countType: 'imageCountMoreThan', countNumber: 1 },
      action: { type: 'expire' },
    },
  ],
}
const copied = {
  rules: [
    {
      rulePriority: 1,
      description: 'Expire untagged images older than 30 days',
      action: { type: 'expire' },
      filter: { tagStatus: 'UNTAGGED', lastModified: { days: 30 } },
    },
  ],
}

const absentPolicy = (name: string): string =>
  `LifecyclePolicyNotFoundException: Lifecycle policy does not exist for the repository with name '${name}' in the registry with id '${defaultAccountId}'`

async function previewed({ ecr }: EcrUnderTest, repositoryName: string): Promise<void> {
  await waitUntilLifecyclePolicyPreviewComplete({ client: ecr, maxWaitTime: 30, minDelay: 1, maxDelay: 1 }, { repositoryName })
}

onEveryDatabase((server) => {
  describe('a lifecycle policy', () => {
    it('is kept without white space, answered, and taken away', async () => {
      const { ecr, newRepository } = server()
      const repositoryName = await newRepository()
      const answer = { registryId: defaultAccountId, repositoryName, lifecyclePolicyText: JSON.stringify(untagged) }

      expect(await ecr.putLifecyclePolicy({ repositoryName, lifecyclePolicyText: JSON.stringify(untagged, null, 2) })).toMatchObject(answer)
      expect(await ecr.getLifecyclePolicy({ repositoryName })).toMatchObject(answer)
      expect(await ecr.deleteLifecyclePolicy({ repositoryName })).toMatchObject(answer)
      expect(await refusalOf(ecr.getLifecyclePolicy({ repositoryName }))).toBe(absentPolicy(repositoryName))
      expect(await refusalOf(ecr.deleteLifecyclePolicy({ repositoryName }))).toBe(absentPolicy(repositoryName))
    })

    it('in the widely copied spelling becomes one of ECR’s', async () => {
      const { ecr, newRepository } = server()
      const repositoryName = await newRepository()

      const { lifecyclePolicyText = '' } = await ecr.putLifecyclePolicy({ repositoryName, lifecyclePolicyText: JSON.stringify(copied) })

      expect(JSON.parse(lifecyclePolicyText)).toEqual(untagged)
      expect((await ecr.getLifecyclePolicy({ repositoryName })).lifecyclePolicyText).toBe(lifecyclePolicyText)
    })

    it.each([
      ['too short', '{"rules":[]}', "Invalid parameter at 'lifecyclePolicyText' failed to satisfy constraint: 'Member must have length greater than or equal to 100'"],
      ['no JSON', 'x'.repeat(100), 'Could not map policyString into LifecyclePolicy.'],
      ['without a selection', JSON.stringify({ rules: [{ ...untagged.rules[0], selection: undefined }] }), 'object has missing required properties (["selection"])'],
    ])('that is %s is refused, and changes nothing', async (_, lifecyclePolicyText, reason) => {
      const { ecr, newRepository } = server()
      const repositoryName = await newRepository()
      await ecr.putLifecyclePolicy({ repositoryName, lifecyclePolicyText: JSON.stringify(untagged) })

      const refusal = await refusalOf(ecr.putLifecyclePolicy({ repositoryName, lifecyclePolicyText }))

      expect(refusal).toContain('InvalidParameterException: ')
      expect(refusal).toContain(reason)
      expect((await ecr.getLifecyclePolicy({ repositoryName })).lifecyclePolicyText).toBe(JSON.stringify(untagged))
    })

    it('belongs to a repository that is there', async () => {
      const { ecr, freeName } = server()
      const repositoryName = freeName()
      const lifecyclePolicyText = JSON.stringify(untagged)

      for (const call of [
        () => ecr.putLifecyclePolicy({ repositoryName, lifecyclePolicyText }),
        () => ecr.getLifecyclePolicy({ repositoryName }),
        () => ecr.startLifecyclePolicyPreview({ repositoryName, lifecyclePolicyText }),
        () => ecr.getLifecyclePolicyPreview({ repositoryName }),
      ]) {
        expect(await refusalOf(call())).toBe(absentRepository(repositoryName))
      }
    })
  })

  describe('a preview', () => {
    it('shows what would go, page by page and by name, and removes nothing', async () => {
      const { ecr, newRepository, pushImage } = server()
      const repositoryName = await newRepository()
      const images = ['a', 'b', 'c', 'd'].map((seed) => buildImage({ seed: `${repositoryName} ${seed}` }))
      for (const [index, image] of images.entries()) await pushImage(repositoryName, image, index === 1 ? undefined : `v${index}`)
      const lifecyclePolicyText = JSON.stringify(keepOne)

      expect(await ecr.startLifecyclePolicyPreview({ repositoryName, lifecyclePolicyText })).toMatchObject({ lifecyclePolicyText, status: 'IN_PROGRESS' })
      await previewed(server(), repositoryName)

      const first = await ecr.getLifecyclePolicyPreview({ repositoryName, maxResults: 2 })
      expect(first).toMatchObject({ status: 'COMPLETE', lifecyclePolicyText, summary: { expiringImageTotalCount: 3 } })
      expect(first.previewResults).toMatchObject([
        { imageDigest: images[0]!.manifest.digest, imageTags: ['v0'], action: { type: 'EXPIRE' }, appliedRulePriority: 7, storageClass: 'STANDARD' },
        { imageDigest: images[1]!.manifest.digest, imageTags: [], action: { type: 'EXPIRE' }, appliedRulePriority: 7 },
      ])
      expect(first.previewResults?.[0]?.imagePushedAt).toBeInstanceOf(Date)
      const second = await ecr.getLifecyclePolicyPreview({ repositoryName, maxResults: 2, nextToken: first.nextToken })
      expect(second.previewResults?.map(({ imageDigest }) => imageDigest)).toEqual([images[2]!.manifest.digest])
      expect(second.nextToken).toBeUndefined()

      const tagless = await ecr.getLifecyclePolicyPreview({ repositoryName, filter: { tagStatus: 'UNTAGGED' } })
      expect(tagless.previewResults?.map(({ imageDigest }) => imageDigest)).toEqual([images[1]!.manifest.digest])
      const named = await ecr.getLifecyclePolicyPreview({ repositoryName, imageIds: [{ imageTag: 'v2' }, { imageTag: 'v3' }, { imageDigest: images[1]!.manifest.digest }] })
      expect(named.previewResults?.map(({ imageDigest }) => imageDigest)).toEqual([images[2]!.manifest.digest, images[1]!.manifest.digest])
      expect((await ecr.describeImages({ repositoryName })).imageDetails).toHaveLength(4)
    })

    it('is of the repository’s policy where none is given, and needs one', async () => {
      const { ecr, newRepository } = server()
      const repositoryName = await newRepository()
      expect(await refusalOf(ecr.startLifecyclePolicyPreview({ repositoryName }))).toBe(absentPolicy(repositoryName))
      expect(await refusalOf(ecr.getLifecyclePolicyPreview({ repositoryName }))).toBe('LifecyclePolicyPreviewNotFoundException: There is no dry run for this repository.')
      await ecr.putLifecyclePolicy({ repositoryName, lifecyclePolicyText: JSON.stringify(untagged) })

      expect(await ecr.startLifecyclePolicyPreview({ repositoryName })).toMatchObject({ lifecyclePolicyText: JSON.stringify(untagged) })
      await previewed(server(), repositoryName)
      expect(await ecr.getLifecyclePolicyPreview({ repositoryName })).toMatchObject({ status: 'COMPLETE', previewResults: [], summary: { expiringImageTotalCount: 0 } })
    })

    it('has pages of a hundred at most, and no token beside names', async () => {
      const { ecr, newRepository } = server()
      const repositoryName = await newRepository()

      expect(await refusalOf(ecr.getLifecyclePolicyPreview({ repositoryName, maxResults: 101 }))).toBe(
        broken('maxResults', 'Member must have value less than or equal to 100'),
      )
      const both = await failureOf(ecr.getLifecyclePolicyPreview({ repositoryName, imageIds: [{ imageTag: 'a' }], nextToken: 'x' }))
      expect(both.name).toBe('InvalidParameterException')
    })
  })

  it('takes the two policies that people copy from each other', async () => {
    const { ecr, newRepository } = server()
    const repositoryName = await newRepository()
    for (const policy of [untagged, copied]) {
      const { lifecyclePolicyText = '' } = await ecr.putLifecyclePolicy({ repositoryName, lifecyclePolicyText: JSON.stringify(policy, null, 2) })
      expect(JSON.parse(lifecyclePolicyText)).toEqual(untagged)
    }
  })
})
