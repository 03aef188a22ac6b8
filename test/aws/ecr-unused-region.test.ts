import { GetCallerIdentityCommand, STSClient } from '@aws-sdk/client-sts'
import type { ECR } from '@aws-sdk/client-ecr'
import { describe, expect, it, onTestFinished } from 'vitest'
import { absentRepository, clientOf, defaultAccountId, onEveryDatabase, refusalOf } from './ecr-under-test.ts'

const unused = 'invented-1'

onEveryDatabase((server) => {
  function clientIn(region: string): ECR {
    const ecr = clientOf(server().platform)
    ecr.config.region = async () => region
    onTestFinished(() => ecr.destroy())
    return ecr
  }

  /** How many changes were committed since the server started. */
  const commits = (): number => server().platform.platform.counters.database.commits

  describe('a region that nobody used', () => {
    it('answers as an empty one, and nothing is written for it', async () => {
      const ecr = clientIn(unused)
      const sts = new STSClient({
        endpoint: server().platform.url,
        region: unused,
        credentials: server().platform.credentials,
        maxAttempts: 1,
      })
      onTestFinished(() => sts.destroy())
      const before = commits()

      expect((await ecr.describeRepositories({})).repositories).toEqual([])
      expect((await ecr.describeRepositories({})).nextToken).toBeUndefined()
      expect(await ecr.describeRegistry({})).toMatchObject({
        registryId: defaultAccountId,
        replicationConfiguration: { rules: [] },
      })
      expect((await ecr.getAuthorizationToken({})).authorizationData).toHaveLength(1)
      expect((await sts.send(new GetCallerIdentityCommand({}))).Account).toBe(defaultAccountId)
      expect(commits()).toBe(before)
    })

    const repositoryName = 'team/app'
    const digest = `sha256:${'ab'.repeat(32)}`
    const uploadId = '00000000-0000-4000-8000-000000000000'
    const imageManifest = JSON.stringify({
      schemaVersion: 2,
      mediaType: 'application/vnd.oci.image.index.v1+json',
      manifests: [],
    })
    const resourceArn = `arn:aws:ecr:${unused}:${defaultAccountId}:repository/${repositoryName}`
    const policyText = '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"ecr:ListImages"}]}'
    const calls: Partial<Record<keyof ECR, object>> = {
      describeRepositories: { repositoryNames: [repositoryName] },
      deleteRepository: { repositoryName },
      putImageTagMutability: { repositoryName, imageTagMutability: 'MUTABLE' },
      listTagsForResource: { resourceArn },
      tagResource: { resourceArn, tags: [{ Key: 'a', Value: 'b' }] },
      untagResource: { resourceArn, tagKeys: ['a'] },
      listImages: { repositoryName },
      describeImages: { repositoryName },
      batchGetImage: { repositoryName, imageIds: [{ imageTag: 'v1' }] },
      batchDeleteImage: { repositoryName, imageIds: [{ imageTag: 'v1' }] },
      putImage: { repositoryName, imageManifest },
      batchCheckLayerAvailability: { repositoryName, layerDigests: [digest] },
      getDownloadUrlForLayer: { repositoryName, layerDigest: digest },
      initiateLayerUpload: { repositoryName },
      uploadLayerPart: { repositoryName, uploadId, partFirstByte: 0, partLastByte: 0, layerPartBlob: Uint8Array.of(1) },
      completeLayerUpload: { repositoryName, uploadId, layerDigests: [digest] },
      setRepositoryPolicy: { repositoryName, policyText },
      getRepositoryPolicy: { repositoryName },
      deleteRepositoryPolicy: { repositoryName },
      putImageScanningConfiguration: { repositoryName, imageScanningConfiguration: {} },
      startImageScan: { repositoryName, imageId: { imageTag: 'v1' } },
      describeImageScanFindings: { repositoryName, imageId: { imageTag: 'v1' } },
    }

    it.each(Object.keys(calls) as (keyof ECR)[])('has no repository for %s', async (method) => {
      const ecr = clientIn(unused)

      const call = (ecr[method] as unknown as (input: object) => Promise<unknown>).call(ecr, calls[method] ?? {})

      expect(await refusalOf(call)).toBe(absentRepository(repositoryName))
    })

    const principalArn = `arn:aws:iam::${defaultAccountId}:role/a`
    const settings: readonly [what: string, put: (ecr: ECR) => Promise<unknown>, get: (ecr: ECR) => Promise<unknown>][] = [
      ['a registry policy', (ecr) => ecr.putRegistryPolicy({ policyText }), async (ecr) => JSON.parse((await ecr.getRegistryPolicy({})).policyText ?? '')],
      [
        'an account setting',
        (ecr) => ecr.putAccountSetting({ name: 'BLOB_MOUNTING', value: 'DISABLED' }),
        async (ecr) => (await ecr.getAccountSetting({ name: 'BLOB_MOUNTING' })).value,
      ],
      [
        'a creation template',
        (ecr) => ecr.createRepositoryCreationTemplate({ prefix: 'a', appliedFor: ['CREATE_ON_PUSH'] }),
        async (ecr) => (await ecr.describeRepositoryCreationTemplates({})).repositoryCreationTemplates?.map(({ prefix }) => prefix),
      ],
      [
        'a pull time exclusion',
        (ecr) => ecr.registerPullTimeUpdateExclusion({ principalArn }),
        async (ecr) => (await ecr.listPullTimeUpdateExclusions({})).pullTimeUpdateExclusions,
      ],
    ]
    const expected = [JSON.parse(policyText) as unknown, 'DISABLED', ['a'], [principalArn]]

    it.each(settings.map(([what, put, get], index) => ({ what, put, get, index })))('comes into use with $what', async ({ put, get, index }) => {
      const ecr = clientIn(`eu-settled-${index}`)

      await put(ecr)

      expect(await get(ecr)).toEqual(expected[index])
      expect((await ecr.describeRepositories({})).repositories).toEqual([])
    })

    it('has the settings that a registry has by default, and nothing is written for it', async () => {
      const ecr = clientIn(unused)
      const before = commits()

      expect((await ecr.getAccountSetting({ name: 'REGISTRY_POLICY_SCOPE' })).value).toBe('V2')
      expect((await ecr.describeRepositoryCreationTemplates({})).repositoryCreationTemplates).toEqual([])
      expect((await ecr.listPullTimeUpdateExclusions({})).pullTimeUpdateExclusions).toEqual([])
      expect(await refusalOf(ecr.getRegistryPolicy({}))).toContain('RegistryPolicyNotFoundException')
      expect(commits()).toBe(before)
      for (const [call, error] of [
        [() => ecr.deleteRegistryPolicy({}), 'RegistryPolicyNotFoundException'],
        [() => ecr.deleteRepositoryCreationTemplate({ prefix: 'a' }), 'TemplateNotFoundException'],
        [() => ecr.updateRepositoryCreationTemplate({ prefix: 'a' }), 'TemplateNotFoundException'],
        [() => ecr.deregisterPullTimeUpdateExclusion({ principalArn }), 'ExclusionNotFoundException'],
      ] as const) {
        expect(await refusalOf(call())).toContain(error)
      }
    })

    it('stays unused where its name is none that AWS could give', async () => {
      const ecr = clientIn(unused)

      const refusals = [
        await refusalOf(ecr.createRepository({ repositoryName: 'team/app' })),
        await refusalOf(ecr.putAccountSetting({ name: 'BLOB_MOUNTING', value: 'DISABLED' })),
      ]

      const expectedText = `InvalidParameterException: The region '${unused}' is not one of this installation.`
      expect(refusals).toEqual([expectedText, expectedText])
      expect((await ecr.describeRepositories({})).repositories).toEqual([])
    })

    it('comes into use with a repository', async () => {
      const ecr = clientIn('eu-south-2')
      const name = 'team/first'

      const { repository } = await ecr.createRepository({ repositoryName: name, tags: [{ Key: 'a', Value: 'b' }] })

      expect(repository?.repositoryArn).toBe(`arn:aws:ecr:eu-south-2:${defaultAccountId}:repository/${name}`)
      expect((await ecr.describeRepositories({})).repositories).toEqual([repository])
      expect((await ecr.listImages({ repositoryName: name })).imageIds).toEqual([])
    })
  })
  // The sealer removes what it has from the metadata, a moment after whatever test came before.
}, { STOWAGE_AUDIT: 'off' })
