import { describe, expect, it } from 'vitest'
import { loadConfig } from './load.ts'
import { ecrQuotas } from './quotas.ts'

describe('the quotas', () => {
  it('are ECR’s where nothing is set', () => {
    expect(loadConfig({}).quotas).toEqual(ecrQuotas)
  })

  it('are taken each from its own variable, sizes in MiB', () => {
    const environment = {
      STOWAGE_QUOTA_REPOSITORIES: '1',
      STOWAGE_QUOTA_IMAGES_PER_REPOSITORY: '2',
      STOWAGE_QUOTA_TAGS_PER_IMAGE: '3',
      STOWAGE_QUOTA_LAYER_MIB: '4',
      STOWAGE_QUOTA_LAYER_PARTS: '5',
      STOWAGE_QUOTA_CREATION_TEMPLATES: '6',
      STOWAGE_QUOTA_PULL_TIME_EXCLUSIONS: '7',
      STOWAGE_QUOTA_SESSIONS: '8',
      STOWAGE_QUOTA_REGIONS: '9',
      STOWAGE_QUOTA_REPOSITORY_MIB: '10',
      STOWAGE_QUOTA_REGISTRY_MIB: '11',
    }
    expect(loadConfig(environment).quotas).toEqual({
      repositoriesPerRegistry: 1,
      imagesPerRepository: 2,
      tagsPerImage: 3,
      layerBytes: 4 * 1024 * 1024,
      partsPerLayer: 5,
      creationTemplates: 6,
      pullTimeExclusions: 7,
      sessionsPerAccount: 8,
      regionsPerAccount: 9,
      repositoryBytes: 10 * 1024 * 1024,
      registryBytes: 11 * 1024 * 1024,
    })
  })

  it.each(['0', '-1', '1.5', 'many', '1000000001'])('of %j are refused', (text) => {
    expect(() => loadConfig({ STOWAGE_QUOTA_TAGS_PER_IMAGE: text })).toThrow(/STOWAGE_QUOTA_TAGS_PER_IMAGE: write a whole number/)
  })
})
