import { ecrQuotas, mebibyte } from './quotas.ts'
import { settingNotes } from './setting-notes.ts'
import { wholeNumber } from './setting-values.ts'

/** Beyond anything there is to count; keeps bytes of as many MiB an exact number. */
const maxQuota = 1_000_000_000

/** Of `schema.ts`: how much of each thing there may be. */
export const quotaSettings = {
  quotaRegionsPerAccount: wholeNumber(1, maxQuota, 'regions').prefault(String(ecrQuotas.regionsPerAccount)).register(settingNotes, {
    env: 'STOWAGE_QUOTA_REGIONS',
    group: 'Quotas',
    form: 'number',
    description: 'Regions in which an account may keep images or settings. Each is a registry, with quotas of its own.',
  }),
  quotaRepositoriesPerRegistry: wholeNumber(1, maxQuota, 'repositories')
    .prefault(String(ecrQuotas.repositoriesPerRegistry))
    .register(settingNotes, {
      env: 'STOWAGE_QUOTA_REPOSITORIES',
      group: 'Quotas',
      form: 'number',
      description: 'Repositories of a registry, which is an account in a region.',
    }),
  quotaImagesPerRepository: wholeNumber(1, maxQuota, 'images')
    .prefault(String(ecrQuotas.imagesPerRepository))
    .register(settingNotes, {
      env: 'STOWAGE_QUOTA_IMAGES_PER_REPOSITORY',
      group: 'Quotas',
      form: 'number',
      description: 'Images of a repository, tagged or not; indexes and artifacts such as signatures count too.',
    }),
  quotaRepositoryMebibytes: wholeNumber(1, maxQuota, 'MiB').optional().register(settingNotes, {
    env: 'STOWAGE_QUOTA_REPOSITORY_MIB',
    group: 'Quotas',
    form: 'MiB',
    description: 'Size of all images of a repository together, each with all its layers. Not bounded by default.',
  }),
  quotaRegistryMebibytes: wholeNumber(1, maxQuota, 'MiB').optional().register(settingNotes, {
    env: 'STOWAGE_QUOTA_REGISTRY_MIB',
    group: 'Quotas',
    form: 'MiB',
    description:
      'Size of all images of a registry, which is an account in a region, counted likewise. Not bounded by default. With it pushes of new images into one registry wait for each other.',
  }),
  quotaTagsPerImage: wholeNumber(1, maxQuota, 'tags').prefault(String(ecrQuotas.tagsPerImage)).register(settingNotes, {
    env: 'STOWAGE_QUOTA_TAGS_PER_IMAGE',
    group: 'Quotas',
    form: 'number',
    description: 'Tags that point at one image.',
  }),
  quotaLayerMebibytes: wholeNumber(1, maxQuota, 'MiB')
    .prefault(String(ecrQuotas.layerBytes / mebibyte))
    .register(settingNotes, {
      env: 'STOWAGE_QUOTA_LAYER_MIB',
      group: 'Quotas',
      form: 'MiB',
      description: 'Size of a layer.',
    }),
  quotaPartsPerLayer: wholeNumber(1, maxQuota, 'parts').prefault(String(ecrQuotas.partsPerLayer)).register(settingNotes, {
    env: 'STOWAGE_QUOTA_LAYER_PARTS',
    group: 'Quotas',
    form: 'number',
    description: 'Parts of a layer that is uploaded by UploadLayerPart.',
  }),
  quotaCreationTemplates: wholeNumber(1, maxQuota, 'templates')
    .prefault(String(ecrQuotas.creationTemplates))
    .register(settingNotes, {
      env: 'STOWAGE_QUOTA_CREATION_TEMPLATES',
      group: 'Quotas',
      form: 'number',
      description: 'Repository creation templates of a registry.',
    }),
  quotaPullTimeExclusions: wholeNumber(1, maxQuota, 'principals')
    .prefault(String(ecrQuotas.pullTimeExclusions))
    .register(settingNotes, {
      env: 'STOWAGE_QUOTA_PULL_TIME_EXCLUSIONS',
      group: 'Quotas',
      form: 'number',
      description: 'Principals of a registry whose pulls leave the time of the last pull alone.',
    }),
  quotaSessionsPerAccount: wholeNumber(1, maxQuota, 'sessions')
    .prefault(String(ecrQuotas.sessionsPerAccount))
    .register(settingNotes, {
      env: 'STOWAGE_QUOTA_SESSIONS',
      group: 'Quotas',
      form: 'number',
      description: 'Temporary credentials of an account, in all regions together, that have not ended yet.',
    }),
}
