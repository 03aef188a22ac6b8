import { describe, expect, it } from 'vitest'
import { buildImage } from '../support/images.ts'
import { absentRepository, broken, defaultAccountId, failureOf, onEveryDatabase, refusalOf } from './ecr-under-test.ts'

/* The settings of the registry and of scanning: what is answered, and what each of them does. */

onEveryDatabase((server) => {
  describe('account settings', () => {
    it.each([
      ['BASIC_SCAN_TYPE_VERSION', 'AWS_NATIVE'],
      ['BLOB_MOUNTING', 'ENABLED'],
      ['REGISTRY_POLICY_SCOPE', 'V2'],
    ])('%s is %s until somebody says otherwise', async (name, value) => {
      expect(await server().ecr.getAccountSetting({ name })).toMatchObject({ name, value })
    })

    it('keep what they are put to', async () => {
      const { ecr } = server()
      for (const value of ['V1', 'V2']) {
        expect(await ecr.putAccountSetting({ name: 'REGISTRY_POLICY_SCOPE', value })).toMatchObject({ value })
        expect(await ecr.getAccountSetting({ name: 'REGISTRY_POLICY_SCOPE' })).toMatchObject({ value })
      }
    })

    it.each([
      ['BLOB_MOUNTING', 'enabled', 'ENABLED, DISABLED'],
      ['BASIC_SCAN_TYPE_VERSION', 'CLAIR', 'AWS_NATIVE'],
      ['REGISTRY_POLICY_SCOPE', '', 'V1, V2'],
    ])('%s refuses "%s" and stays as it was', async (name, value, values) => {
      const { ecr } = server()
      const { value: before } = await ecr.getAccountSetting({ name })

      expect(await refusalOf(ecr.putAccountSetting({ name, value }))).toBe(
        broken('value', `Member must satisfy enum value set: [${values}]`),
      )
      expect((await ecr.getAccountSetting({ name })).value).toBe(before)
    })

    it.each(['', 'NO_SUCH_SETTING', 'blob_mounting', '__proto__'])('there is none named "%s"', async (name) => {
      const { ecr } = server()
      const unknown = broken(
        'name',
        'Member must satisfy enum value set: [BASIC_SCAN_TYPE_VERSION, BLOB_MOUNTING, REGISTRY_POLICY_SCOPE]',
      )

      expect(await refusalOf(ecr.getAccountSetting({ name }))).toBe(unknown)
      expect(await refusalOf(ecr.putAccountSetting({ name, value: 'V1' }))).toBe(unknown)
    })

    it('BLOB_MOUNTING decides whether a layer of another repository is mounted', async () => {
      const { ecr, platform, newRepository, pushImage } = server()
      const [source, target] = [await newRepository(), await newRepository()]
      const image = buildImage({ seed: 'mounted' })
      await pushImage(source, image, 'v1')
      const layer = image.blobs[1]?.digest ?? ''
      const mount = async (): Promise<number> => {
        const { status } = await fetch(`${platform.url}/v2/${target}/blobs/uploads/?mount=${layer}&from=${source}`, {
          method: 'POST',
          headers: { authorization: platform.authorization },
        })
        return status
      }

      await ecr.putAccountSetting({ name: 'BLOB_MOUNTING', value: 'DISABLED' })
      const whenDisabled = await mount()
      const seen = await fetch(`${platform.url}/v2/${target}/blobs/${layer}`, {
        method: 'HEAD',
        headers: { authorization: platform.authorization },
      })
      await ecr.putAccountSetting({ name: 'BLOB_MOUNTING', value: 'ENABLED' })

      expect([whenDisabled, seen.status, await mount()]).toEqual([202, 404, 201])
    })
  })

  describe('image scanning', () => {
    it('is switched on and off, and shown with the repository', async () => {
      const { ecr, newRepository } = server()
      const repositoryName = await newRepository()
      for (const scanOnPush of [true, false]) {
        const imageScanningConfiguration = { scanOnPush }
        expect(await ecr.putImageScanningConfiguration({ repositoryName, imageScanningConfiguration })).toMatchObject({
          registryId: defaultAccountId,
          repositoryName,
          imageScanningConfiguration,
        })
        const { repositories } = await ecr.describeRepositories({ repositoryNames: [repositoryName] })
        expect(repositories?.[0]?.imageScanningConfiguration).toEqual(imageScanningConfiguration)
      }
    })

    it('claims no findings of an image that nobody has scanned', async () => {
      const { ecr, newRepository, pushImage } = server()
      const repositoryName = await newRepository({ imageScanningConfiguration: { scanOnPush: true } })
      const image = buildImage({ seed: 'scanned' })
      await pushImage(repositoryName, image, 'v1')

      expect(await refusalOf(ecr.describeImageScanFindings({ repositoryName, imageId: { imageTag: 'v1' } }))).toBe(
        `ScanNotFoundException: Image scan does not exist for the image with '{imageDigest:'null', imageTag:'v1'}' in the repository with name '${repositoryName}' in the registry with id '${defaultAccountId}'`,
      )
      expect(await failureOf(ecr.startImageScan({ repositoryName, imageId: { imageTag: 'v1' } }))).toMatchObject({
        name: 'ValidationException',
        message: expect.stringContaining('no image scanner'),
      })
      const { imageDetails } = await ecr.describeImages({ repositoryName })
      expect(imageDetails?.[0]).not.toHaveProperty('imageScanStatus')
    })

    it('answers for what is not there as every call does', async () => {
      const { ecr, freeName, newRepository } = server()
      const repositoryName = await newRepository()
      const absent = freeName()
      const imageId = { imageTag: 'gone' }
      const noImage = `ImageNotFoundException: The image with imageId {imageDigest:'null', imageTag:'gone'} does not exist within the repository with name '${repositoryName}' in the registry with id '${defaultAccountId}'`

      expect(await refusalOf(ecr.describeImageScanFindings({ repositoryName, imageId }))).toBe(noImage)
      expect(await refusalOf(ecr.startImageScan({ repositoryName, imageId }))).toBe(noImage)
      expect(await refusalOf(ecr.startImageScan({ repositoryName: absent, imageId }))).toBe(absentRepository(absent))
      expect(
        await refusalOf(ecr.putImageScanningConfiguration({ repositoryName: absent, imageScanningConfiguration: {} })),
      ).toBe(absentRepository(absent))
    })
  })

  describe('pull time update exclusions', () => {
    const role = `arn:aws:iam::${defaultAccountId}:role/tools/scanner`

    it('are registered, listed in pages and deregistered', async () => {
      const { ecr } = server()
      const arns = [role, `arn:aws:iam::${defaultAccountId}:role/a`, `arn:aws:iam::${defaultAccountId}:user/b`]
      for (const principalArn of arns) {
        const { createdAt, ...registered } = await ecr.registerPullTimeUpdateExclusion({ principalArn })
        expect(registered).toMatchObject({ principalArn })
        expect(createdAt).toBeInstanceOf(Date)
      }

      const first = await ecr.listPullTimeUpdateExclusions({ maxResults: 2 })
      const second = await ecr.listPullTimeUpdateExclusions({ maxResults: 2, nextToken: first.nextToken })

      expect([...(first.pullTimeUpdateExclusions ?? []), ...(second.pullTimeUpdateExclusions ?? [])]).toEqual(arns.toSorted())
      expect(second.nextToken).toBeUndefined()
      expect(await refusalOf(ecr.registerPullTimeUpdateExclusion({ principalArn: role }))).toMatch(
        /^ExclusionAlreadyExistsException: /,
      )
      for (const principalArn of arns) await ecr.deregisterPullTimeUpdateExclusion({ principalArn })
      expect(await ecr.listPullTimeUpdateExclusions({})).toMatchObject({ pullTimeUpdateExclusions: [] })
      expect(await refusalOf(ecr.deregisterPullTimeUpdateExclusion({ principalArn: role }))).toMatch(
        /^ExclusionNotFoundException: /,
      )
    })

    it.each([
      '',
      'scanner',
      `arn:aws:iam::${defaultAccountId}:root`,
      `arn:aws:iam::${defaultAccountId}:group/g`,
      `arn:aws:iam::${defaultAccountId}:role/`,
      `arn:aws:iam::${defaultAccountId}:role/a//b`,
      `arn:aws:iam::1:role/a`,
      `arn:awsx:iam::${defaultAccountId}:role/a`,
      `arn:aws:iam::${defaultAccountId}:role/a b`,
      `arn:aws:iam::${defaultAccountId}:role/${'a'.repeat(180)}`,
    ])('do not take "%s"', async (principalArn) => {
      const { ecr } = server()

      expect(await refusalOf(ecr.registerPullTimeUpdateExclusion({ principalArn }))).toMatch(
        /^InvalidParameterException: Invalid parameter at 'principalArn'/,
      )
      expect(await ecr.listPullTimeUpdateExclusions({})).toMatchObject({ pullTimeUpdateExclusions: [] })
    })

    it('are at most a hundred, however many come at once', async () => {
      const { ecr } = server()
      const arns = Array.from({ length: 110 }, (_, n) => `arn:aws:iam::${defaultAccountId}:role/r${n}`)

      const answers = await Promise.allSettled(arns.map((principalArn) => ecr.registerPullTimeUpdateExclusion({ principalArn })))

      const { pullTimeUpdateExclusions = [] } = await ecr.listPullTimeUpdateExclusions({ maxResults: 1000 })
      for (const principalArn of pullTimeUpdateExclusions) await ecr.deregisterPullTimeUpdateExclusion({ principalArn })
      expect(pullTimeUpdateExclusions).toHaveLength(100)
      const refusals = answers.flatMap((each) => (each.status === 'rejected' ? [(each.reason as Error).name] : []))
      expect(refusals).toEqual(Array.from({ length: 10 }, () => 'LimitExceededException'))
    })
  })
})
