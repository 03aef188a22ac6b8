import { ContentSource, type Content } from '../content.ts'
import { manifestOf } from '../registry-client.ts'

/**
 * What a server holds before it starts. Plain data: the load client is told, too.
 *
 * Every repository has one image of three references; the tags stand in a repository of their own, a hundred to an
 * image; the referrers in another one.
 */
export interface Population {
  readonly repositories: number
  readonly tags: number
  readonly referrers: number
}

export const pageRows = 100
export const tagsPerManifest = 100
export const taggedRepository = 'app/tagged'
export const referredRepository = 'app/referred'
export const imageTag = 'latest'

export const repositoryName = (index: number): string => `bench/r${numbered(index)}`
export const tagName = (index: number): string => `v${numbered(index)}`

/** Each of them names three blobs. */
export function manifestCount({ repositories, tags, referrers }: Population): number {
  const subjects = 1
  return repositories + Math.ceil(tags / tagsPerManifest) + referrers + subjects
}

function numbered(index: number): string {
  return String(index).padStart(7, '0')
}

/** The images of a population: they share their blobs, and differ by an annotation. */
export class PopulationImages {
  readonly config: Content
  readonly layers: readonly Content[]

  constructor() {
    const source = new ContentSource(1024)
    this.config = source.next()
    this.layers = [source.next(), source.next()]
  }

  get blobs(): readonly Content[] {
    return [this.config, ...this.layers]
  }

  manifest(label: string): Content {
    return manifestOf(this.config, this.layers, { 'org.opencontainers.image.title': label })
  }

  referrer(label: string, subject: Content): Content {
    return manifestOf(this.config, this.layers, { 'org.opencontainers.image.title': label }, subject)
  }
}
