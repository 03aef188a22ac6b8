import { expect, it } from 'vitest'
import { defaultAccountId, onEveryDatabase, refusalOf } from './ecr-under-test.ts'

/*
 * The calls that Terraform's AWS provider makes for ECR's resources, in its order: create, read, read again for a plan that
 * has to be empty, update, read, delete, and read what must be gone. The real one is driven by test/clients/terraform.test.ts.
 */

const policy = (action: string): string =>
  JSON.stringify({
    Version: '2012-10-17',
    Statement: [{ Sid: 'share', Effect: 'Allow', Principal: { AWS: `arn:aws:iam::${defaultAccountId}:root` }, Action: [action] }],
  })

/** The provider compares policies by what they say. */
const said = (text: string | undefined): unknown => JSON.parse(text ?? 'null')

onEveryDatabase((server) => {
  it('aws_ecr_repository and aws_ecr_repository_policy', async () => {
    const { ecr, freeName } = server()
    const repositoryName = freeName()
    const { repository } = await ecr.createRepository({
      repositoryName,
      imageTagMutability: 'MUTABLE',
      encryptionConfiguration: { encryptionType: 'AES256' },
      imageScanningConfiguration: { scanOnPush: true },
      tags: [{ Key: 'team', Value: 'a' }],
    })
    const read = async () => {
      const { repositories = [] } = await ecr.describeRepositories({ registryId: defaultAccountId, repositoryNames: [repositoryName] })
      const { tags } = await ecr.listTagsForResource({ resourceArn: repository?.repositoryArn })
      return { ...repositories[0], tags }
    }
    expect(await read()).toEqual({ ...repository, tags: [{ Key: 'team', Value: 'a' }] })

    for (const action of ['ecr:BatchGetImage', 'ecr:ListImages']) {
      await ecr.setRepositoryPolicy({ repositoryName, policyText: policy(action) })
      expect(said((await ecr.getRepositoryPolicy({ repositoryName })).policyText)).toEqual(said(policy(action)))
    }
    await ecr.putImageTagMutability({ registryId: defaultAccountId, repositoryName, imageTagMutability: 'IMMUTABLE' })
    await ecr.putImageScanningConfiguration({ registryId: defaultAccountId, repositoryName, imageScanningConfiguration: { scanOnPush: false } })
    await ecr.untagResource({ resourceArn: repository?.repositoryArn, tagKeys: ['team'] })
    await ecr.tagResource({ resourceArn: repository?.repositoryArn, tags: [{ Key: 'owner', Value: 'b' }] })
    expect(await read()).toMatchObject({
      createdAt: repository?.createdAt,
      imageTagMutability: 'IMMUTABLE',
      imageScanningConfiguration: { scanOnPush: false },
      tags: [{ Key: 'owner', Value: 'b' }],
    })

    await ecr.deleteRepositoryPolicy({ repositoryName, registryId: defaultAccountId })
    expect(await refusalOf(ecr.getRepositoryPolicy({ repositoryName }))).toMatch(/^RepositoryPolicyNotFoundException/)
    await ecr.deleteRepository({ repositoryName, registryId: defaultAccountId, force: false })
    expect(await refusalOf(ecr.describeRepositories({ repositoryNames: [repositoryName] }))).toMatch(/^RepositoryNotFoundException/)
    expect(await refusalOf(ecr.getRepositoryPolicy({ repositoryName }))).toMatch(/^RepositoryNotFoundException/)
  })

  it('aws_ecr_registry_policy', async () => {
    const { ecr } = server()
    for (const action of ['ecr:ReplicateImage', 'ecr:CreateRepository']) {
      const { registryId } = await ecr.putRegistryPolicy({ policyText: policy(action) })
      expect(registryId).toBe(defaultAccountId)
      expect(said((await ecr.getRegistryPolicy({})).policyText)).toEqual(said(policy(action)))
    }
    await ecr.deleteRegistryPolicy({})
    expect(await refusalOf(ecr.getRegistryPolicy({}))).toMatch(/^RegistryPolicyNotFoundException/)
  })

  it('aws_ecr_repository_creation_template', async () => {
    const { ecr, freeName } = server()
    const prefix = freeName()
    const read = async () => (await ecr.describeRepositoryCreationTemplates({ prefixes: [prefix] })).repositoryCreationTemplates ?? []
    const { repositoryCreationTemplate: created } = await ecr.createRepositoryCreationTemplate({
      prefix,
      appliedFor: ['CREATE_ON_PUSH', 'REPLICATION'],
      imageTagMutability: 'IMMUTABLE',
      encryptionConfiguration: { encryptionType: 'AES256' },
      customRoleArn: `arn:aws:iam::${defaultAccountId}:role/creator`,
      resourceTags: [{ Key: 'team', Value: 'a' }],
      repositoryPolicy: policy('ecr:BatchGetImage'),
    })
    const [first] = await read()
    expect(first).toEqual(created)
    expect(said(first?.repositoryPolicy)).toEqual(said(policy('ecr:BatchGetImage')))

    await ecr.updateRepositoryCreationTemplate({ prefix, description: 'second', imageTagMutability: 'MUTABLE', repositoryPolicy: '' })
    const [second] = await read()
    const { repositoryPolicy, ...kept } = first ?? {}
    expect(repositoryPolicy).toBeDefined()
    expect(second).toEqual({ ...kept, description: 'second', imageTagMutability: 'MUTABLE', updatedAt: expect.any(Date) })

    await ecr.deleteRepositoryCreationTemplate({ prefix })
    expect(await read()).toEqual([])
    expect(await refusalOf(ecr.deleteRepositoryCreationTemplate({ prefix }))).toMatch(/^TemplateNotFoundException/)
  })

  it('aws_ecr_account_setting and aws_ecr_pull_time_update_exclusion', async () => {
    const { ecr } = server()
    for (const value of ['DISABLED', 'ENABLED']) {
      await ecr.putAccountSetting({ name: 'BLOB_MOUNTING', value })
      expect(await ecr.getAccountSetting({ name: 'BLOB_MOUNTING' })).toMatchObject({ name: 'BLOB_MOUNTING', value })
    }

    const principalArn = `arn:aws:iam::${defaultAccountId}:role/scanner`
    await ecr.registerPullTimeUpdateExclusion({ principalArn })
    expect((await ecr.listPullTimeUpdateExclusions({})).pullTimeUpdateExclusions).toEqual([principalArn])
    await ecr.deregisterPullTimeUpdateExclusion({ principalArn })
    expect((await ecr.listPullTimeUpdateExclusions({})).pullTimeUpdateExclusions).toEqual([])
    expect(await refusalOf(ecr.deregisterPullTimeUpdateExclusion({ principalArn }))).toMatch(/^ExclusionNotFoundException/)
  })
})
