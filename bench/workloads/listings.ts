import { call, type RegistryClient } from '../registry-client.ts'
import {
  imageTag,
  pageRows,
  referredRepository,
  repositoryName,
  taggedRepository,
  tagName,
  type Population,
} from '../seeds/population.ts'
import type { HttpConnection } from '../http-connection.ts'
import { withConnection, type Workload } from './workload.ts'

const listings = ['catalog', 'tags', 'referrers'] as const
type Listing = (typeof listings)[number]
const positions = ['first', 'middle', 'last'] as const
type Position = (typeof positions)[number]

const titles: Readonly<Record<Listing, string>> = { catalog: 'Catalog', tags: 'Tags', referrers: 'Referrers' }
const members: Readonly<Record<Listing, string>> = { catalog: 'repositories', tags: 'tags', referrers: 'manifests' }

/** The row a page begins behind; undefined for the first page. */
function rowBefore(position: Position, count: number): number | undefined {
  switch (position) {
    case 'first':
      return undefined
    case 'middle':
      return Math.floor(count / 2) - 1
    case 'last':
      return count - pageRows - 1
  }
}

async function pathOf(registry: RegistryClient, listing: Listing, position: Position): Promise<string> {
  const { population } = registry
  if (population === undefined) throw new Error('listings are measured on a server that holds a population')
  switch (listing) {
    case 'catalog':
      return pagePath('/v2/_catalog', rowBefore(position, population.repositories), repositoryName)
    case 'tags':
      return pagePath(`/v2/${taggedRepository}/tags/list`, rowBefore(position, population.tags), tagName)
    case 'referrers':
      return withConnection(registry, (connection) => referrersPath(connection, position, population))
  }
}

function pagePath(path: string, before: number | undefined, nameOf: (index: number) => string): string {
  return `${path}?n=${pageRows}${before === undefined ? '' : `&last=${nameOf(before)}`}`
}

/** Where a page of referrers begins only the page before it tells. */
async function referrersPath(connection: HttpConnection, position: Position, { referrers }: Population): Promise<string> {
  const path = `/v2/${referredRepository}/manifests/${imageTag}`
  const subject = (await call(connection, 200, { method: 'HEAD', path, headers: { accept: '*/*' } })).headers.get('docker-content-digest')
  let page = `/v2/${referredRepository}/referrers/${subject}?n=${pageRows}`
  const pagesBefore = Math.ceil(((rowBefore(position, referrers) ?? -1) + 1) / pageRows)
  for (let passed = 0; passed < pagesBefore; passed += 1) {
    const link = (await call(connection, 200, { method: 'GET', path: page })).headers.get('link')
    const next = /^<([^>]+)>/.exec(link ?? '')?.[1]
    if (next === undefined) throw new Error(`${page} has no next page`)
    page = next
  }
  return page
}

function pageOf(listing: Listing, position: Position): Workload {
  return {
    name: `${listing}-${position}-page`,
    title: `${titles[listing]}, ${position} page of ${pageRows}`,
    operation: 'GET of a page',
    concurrency: 10,
    unit: 'operations',
    roundMs: 1000,
    async open(registry) {
      const path = await pathOf(registry, listing, position)
      const { body } = await withConnection(registry, (connection) => call(connection, 200, { method: 'GET', path, keepBody: true }))
      const rows = ((JSON.parse(body.toString('utf8')) as Record<string, unknown>)[members[listing]] as readonly unknown[]).length
      // More is what some servers answer; fewer means that the population is not there.
      if (rows < pageRows) throw new Error(`${path} lists ${rows} rows, not ${pageRows}`)
      return {
        rowsPerOperation: rows,
        prepareRound: async () => ({
          kind: 'repeat',
          operation: async (connection) => (await call(connection, 200, { method: 'GET', path })).bodyBytes,
        }),
      }
    },
  }
}

/** Beside peers, of which not all list referrers. */
export const listingWorkloads: readonly Workload[] = (['catalog', 'tags'] as const).flatMap((listing) =>
  positions.map((position) => pageOf(listing, position)),
)

/** On a small and a large population: what a page costs must not depend on how much there is. */
export const growthWorkloads: readonly Workload[] = listings.flatMap((listing) => positions.map((position) => pageOf(listing, position)))
