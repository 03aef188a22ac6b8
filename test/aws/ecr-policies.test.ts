import { describe, expect, it } from 'vitest'
import { absentRepository, defaultAccountId, onEveryDatabase, refusalOf } from './ecr-under-test.ts'

/* The policies of repositories and of the registry as documents: kept, answered, refused, gone. What they decide is tested elsewhere. */

const pullers = {
  Version: '2012-10-17',
  Statement: [
    {
      Sid: 'let the others pull',
      Effect: 'Allow',
      Principal: { AWS: 'arn:aws:iam::999988887777:root' },
      Action: ['ecr:BatchGetImage', 'ecr:GetDownloadUrlForLayer'],
    },
  ],
}

const laidOut = `{
  "Version" : "2012-10-17",
  "Statement" : [ {
    "Sid" : "let the others pull",
    "Effect" : "Allow",
    "Principal" : {
      "AWS" : "arn:aws:iam::999988887777:root"
    },
    "Action" : [ "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer" ]
  } ]
}`

const statement = pullers.Statement[0]

/** What is no policy of ECR's, with what the refusal says. */
const wrong: readonly [what: string, document: string, reason: string][] = [
  ['nothing', '', ''],
  ['no JSON', '{"Version":', 'JSON'],
  ['no object', '[]', ''],
  ['no statement', '{"Version":"2012-10-17","Statement":[]}', 'Statement'],
  ['another version', JSON.stringify({ ...pullers, Version: '2024-01-01' }), 'Version'],
  ['nobody', JSON.stringify({ ...pullers, Statement: [{ ...statement, Principal: undefined }] }), 'Principal'],
  ['no action', JSON.stringify({ ...pullers, Statement: [{ ...statement, Action: undefined }] }), 'Action'],
  ['an effect of its own', JSON.stringify({ ...pullers, Statement: [{ ...statement, Effect: 'Perhaps' }] }), 'Effect'],
  ['an unknown element', JSON.stringify({ ...pullers, Statement: [{ ...statement, Actions: 'ecr:*' }] }), 'Actions'],
  ['an unknown operator', JSON.stringify({ ...pullers, Statement: [{ ...statement, Condition: { Sounds: { 'aws:userid': 'x' } } }] }), 'Sounds'],
  ['another service’s action', JSON.stringify({ ...pullers, Statement: [{ ...statement, Action: ['ecr:*', 's3:GetObject'] }] }), 's3:GetObject'],
  ['all but another service’s action', JSON.stringify({ ...pullers, Statement: [{ ...statement, Action: undefined, NotAction: 'iam:*' }] }), 'iam:*'],
]

onEveryDatabase((server) => {
  describe('repository policies', () => {
    it('are answered as ECR lays them out, by every call', async () => {
      const { ecr, newRepository } = server()
      const repositoryName = await newRepository()
      const answer = { registryId: defaultAccountId, repositoryName, policyText: laidOut }

      expect(await ecr.setRepositoryPolicy({ repositoryName, policyText: JSON.stringify(pullers) })).toMatchObject(answer)
      expect(await ecr.getRepositoryPolicy({ repositoryName })).toMatchObject(answer)
      expect(await ecr.deleteRepositoryPolicy({ repositoryName })).toMatchObject(answer)
    })

    it('take the place of the one before', async () => {
      const { ecr, newRepository } = server()
      const repositoryName = await newRepository()
      const second = { ...pullers, Version: '2008-10-17' }
      await ecr.setRepositoryPolicy({ repositoryName, policyText: JSON.stringify(pullers) })
      await ecr.setRepositoryPolicy({ repositoryName, policyText: JSON.stringify(second), force: true })

      const { policyText = '' } = await ecr.getRepositoryPolicy({ repositoryName })

      expect(JSON.parse(policyText)).toEqual(second)
    })

    it.each(wrong)('refuse %s, and leave what is there', async (_, policyText, reason) => {
      const { ecr, newRepository } = server()
      const repositoryName = await newRepository()
      await ecr.setRepositoryPolicy({ repositoryName, policyText: JSON.stringify(pullers) })

      const refusal = await refusalOf(ecr.setRepositoryPolicy({ repositoryName, policyText }))

      expect(refusal).toContain(
        "InvalidParameterException: Invalid parameter at 'PolicyText' failed to satisfy constraint: 'Invalid repository policy provided",
      )
      expect(refusal).toContain(reason)
      expect((await ecr.getRepositoryPolicy({ repositoryName })).policyText).toBe(laidOut)
    })

    it('have at most 10,240 characters', async () => {
      const { ecr, newRepository } = server()
      const repositoryName = await newRepository()
      const text = JSON.stringify(pullers)
      const longest = text + ' '.repeat(10_240 - text.length)

      await ecr.setRepositoryPolicy({ repositoryName, policyText: longest })
      expect(await refusalOf(ecr.setRepositoryPolicy({ repositoryName, policyText: `${longest} ` }))).toContain(
        'Member must have length less than or equal to 10240',
      )
    })

    it('that are not there, or whose repository is not, are told so', async () => {
      const { ecr, freeName, newRepository } = server()
      const repositoryName = await newRepository()
      const absent = freeName()
      const none = `RepositoryPolicyNotFoundException: Repository policy does not exist for the repository with name '${repositoryName}' in the registry with id '${defaultAccountId}'`

      expect(await refusalOf(ecr.getRepositoryPolicy({ repositoryName }))).toBe(none)
      expect(await refusalOf(ecr.deleteRepositoryPolicy({ repositoryName }))).toBe(none)
      for (const call of [
        () => ecr.getRepositoryPolicy({ repositoryName: absent }),
        () => ecr.deleteRepositoryPolicy({ repositoryName: absent }),
        () => ecr.setRepositoryPolicy({ repositoryName: absent, policyText: JSON.stringify(pullers) }),
      ]) {
        expect(await refusalOf(call())).toBe(absentRepository(absent))
      }
    })

    it('go with their repository, and do not come back with its name', async () => {
      const { ecr, newRepository } = server()
      const repositoryName = await newRepository()
      await ecr.setRepositoryPolicy({ repositoryName, policyText: JSON.stringify(pullers) })

      await ecr.deleteRepository({ repositoryName })
      await ecr.createRepository({ repositoryName })

      expect(await refusalOf(ecr.getRepositoryPolicy({ repositoryName }))).toMatch(/^RepositoryPolicyNotFoundException/)
    })

    it('come with a repository that a template makes', async () => {
      const { ecr, freeName } = server()
      const prefix = freeName()
      const policyText = JSON.stringify(pullers)
      await ecr.createRepositoryCreationTemplate({ prefix, appliedFor: ['CREATE_ON_PUSH'], repositoryPolicy: policyText })
      const { repositoryCreationTemplates } = await ecr.describeRepositoryCreationTemplates({ prefixes: [prefix] })
      expect(repositoryCreationTemplates?.[0]?.repositoryPolicy).toBe(laidOut)

      await ecr.initiateLayerUpload({ repositoryName: `${prefix}/app` })

      expect((await ecr.getRepositoryPolicy({ repositoryName: `${prefix}/app` })).policyText).toBe(laidOut)
      const { repositoryCreationTemplate } = await ecr.updateRepositoryCreationTemplate({ prefix, repositoryPolicy: '' })
      expect(repositoryCreationTemplate).not.toHaveProperty('repositoryPolicy')
      expect(await refusalOf(ecr.updateRepositoryCreationTemplate({ prefix, repositoryPolicy: '{}' }))).toContain(
        "InvalidParameterException: Invalid parameter at 'RepositoryPolicy' failed to satisfy constraint: 'Invalid repository policy provided",
      )
    })
  })

  describe('the registry policy', () => {
    it('is put, answered, replaced and deleted', async () => {
      const { ecr } = server()
      const none = `RegistryPolicyNotFoundException: Registry policy does not exist in the registry with id '${defaultAccountId}'`
      expect(await refusalOf(ecr.getRegistryPolicy({}))).toBe(none)
      expect(await refusalOf(ecr.deleteRegistryPolicy({}))).toBe(none)

      const answer = { registryId: defaultAccountId, policyText: laidOut }
      await ecr.putRegistryPolicy({ policyText: JSON.stringify({ ...pullers, Version: '2008-10-17' }) })
      expect(await ecr.putRegistryPolicy({ policyText: JSON.stringify(pullers) })).toMatchObject(answer)
      expect(await ecr.getRegistryPolicy({})).toMatchObject(answer)
      expect(await ecr.deleteRegistryPolicy({})).toMatchObject(answer)
      expect(await refusalOf(ecr.getRegistryPolicy({}))).toBe(none)
    })

    it.each(wrong)('is not %s', async (_, policyText, reason) => {
      const { ecr } = server()

      const refusal = await refusalOf(ecr.putRegistryPolicy({ policyText }))

      expect(refusal).toContain(
        "InvalidParameterException: Invalid parameter at 'PolicyText' failed to satisfy constraint: 'Invalid registry policy provided",
      )
      expect(refusal).toContain(reason)
      expect(await refusalOf(ecr.getRegistryPolicy({}))).toMatch(/^RegistryPolicyNotFoundException/)
    })
  })
})
