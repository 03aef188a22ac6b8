import { ContentSource } from '../content.ts'
import { call, manifestOf, mountBlob, pushBlob, pushManifest, type RegistryClient } from '../registry-client.ts'
import { forEachConcurrently, withConnection, type OpenWorkload, type Workload } from './workload.ts'

const itemCount = 1000
const pageSize = 100
const repository = 'bench/app'
const numbered = (index: number): string => String(index).padStart(6, '0')

/** A page in the middle: the cost of a first page says little about paging. */
const afterIndex = itemCount / 2

async function pages(registry: RegistryClient, path: string, member: 'tags' | 'repositories'): Promise<OpenWorkload> {
  const { body } = await withConnection(registry, (connection) => call(connection, 200, { method: 'GET', path, keepBody: true }))
  const rows = ((JSON.parse(body.toString('utf8')) as Record<string, unknown>)[member] as readonly string[]).length
  return {
    rowsPerOperation: rows,
    prepareRound: async () => ({
      kind: 'repeat',
      async operation(connection) {
        await call(connection, 200, { method: 'GET', path })
      },
    }),
  }
}

const tags: Workload = {
  name: 'tags-page',
  title: `Tags list, a page of ${pageSize} of ${itemCount}`,
  operation: 'GET of a page',
  concurrency: 10,
  async open(registry) {
    const config = new ContentSource(1024).next()
    const manifest = manifestOf(config, [])
    await registry.createRepositories([repository])
    await withConnection(registry, (connection) => pushBlob(connection, repository, config))
    const names = Array.from({ length: itemCount }, (_, index) => `v${numbered(index)}`)
    await forEachConcurrently(registry, names, (connection, tag) => pushManifest(connection, repository, tag, manifest))
    return pages(registry, `/v2/${repository}/tags/list?n=${pageSize}&last=v${numbered(afterIndex)}`, 'tags')
  },
}

const catalog: Workload = {
  name: 'catalog-page',
  title: `Catalog, a page of ${pageSize} of ${itemCount} repositories`,
  operation: 'GET of a page',
  concurrency: 10,
  async open(registry) {
    const config = new ContentSource(1024).next()
    const manifest = manifestOf(config, [])
    const names = Array.from({ length: itemCount }, (_, index) => `bench/r${numbered(index)}`)
    const [first, ...others] = names
    await registry.createRepositories(names)
    await withConnection(registry, async (connection) => {
      await pushBlob(connection, first!, config)
      await pushManifest(connection, first!, 'latest', manifest)
    })
    await forEachConcurrently(registry, others, async (connection, name) => {
      await mountBlob(connection, name, config, first!)
      await pushManifest(connection, name, 'latest', manifest)
    })
    return pages(registry, `/v2/_catalog?n=${pageSize}&last=bench/r${numbered(afterIndex)}`, 'repositories')
  },
}

export const listingWorkloads: readonly Workload[] = [tags, catalog]
