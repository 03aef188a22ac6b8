/** How much of each thing there may be. Enforced by the write commands, for every protocol; lowering one removes nothing. */
export interface Quotas {
  /** Regions that an account may have something in, each of which is a registry of its own. */
  readonly regionsPerAccount: number
  /** Of an account in a region. */
  readonly repositoriesPerRegistry: number
  /** Manifests, tagged or not: images, indexes and artifacts alike. */
  readonly imagesPerRepository: number
  /** The bytes of a repository's living images; infinite where nobody has bounded them. */
  readonly repositoryBytes: number
  /** The bytes of all living images of a registry; infinite likewise. */
  readonly registryBytes: number
  readonly tagsPerImage: number
  readonly layerBytes: number
  /** Of an upload by UploadLayerPart. */
  readonly partsPerLayer: number
  /** Repository creation templates of a registry. */
  readonly creationTemplates: number
  /** Principals of a registry whose pulls do not count as use. */
  readonly pullTimeExclusions: number
  /** Temporary credentials of an account that have not ended. */
  readonly sessionsPerAccount: number
}

export const mebibyte = 1024 * 1024

/**
 * ECR's own (user guide, "Amazon ECR service quotas"). How many templates it allows is not documented: this is what it allows
 * of rules. AWS bounds how often credentials are asked for, not how many there are: these are twenty-seven new ones a second that
 * hold for an hour each. Its regions are a fixed list, of which an account has under twenty without asking for more.
 */
export const ecrQuotas: Quotas = {
  regionsPerAccount: 20,
  repositoriesPerRegistry: 100_000,
  imagesPerRepository: 100_000,
  repositoryBytes: Number.POSITIVE_INFINITY,
  registryBytes: Number.POSITIVE_INFINITY,
  tagsPerImage: 1000,
  layerBytes: 52_000 * mebibyte,
  partsPerLayer: 4200,
  creationTemplates: 50,
  pullTimeExclusions: 100,
  sessionsPerAccount: 100_000,
}
