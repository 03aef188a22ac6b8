import type { Page } from '../../registry/types.ts'
import type { RepositoryName } from '../../values/repository-name.ts'
import { answerJson } from './answer.ts'
import type { Exchange } from './exchange.ts'
import { pageParameters } from './query.ts'

export async function listRepositories(exchange: Exchange): Promise<void> {
  const { registry, context, query, visibility, positions } = exchange
  const { limit, after } = pageParameters(query)
  const window = { limit, after: positions.read(context.registry, after) }
  const page = limit === 0 ? emptyPage : await registry.listRepositories(context, window, visibility)
  const names = page.items.map(({ name }) => name)
  // Where the page ended with something that it does not show, nobody is told what that was.
  const next = page.next === undefined || page.next === names.at(-1) ? page.next : positions.seal(context.registry, page.next)
  await answerJson(exchange, 200, { repositories: names }, nextPage('/v2/_catalog', limit, next))
}

export async function listTags(exchange: Exchange, repository: RepositoryName): Promise<void> {
  const { registry, context, query } = exchange
  const window = pageParameters(query)
  // An empty page still has to tell a repository from none.
  if (window.limit === 0) await registry.getRepository(context, repository)
  const page = window.limit === 0 ? emptyPage : await registry.listTags(context, repository, window)
  await answerJson(
    exchange,
    200,
    { name: repository, tags: page.items },
    nextPage(`/v2/${repository}/tags/list`, window.limit, page.next),
  )
}

const emptyPage: Page<never> = { items: [], next: undefined }

/** The `Link` to the page after this one. Relative, so that it holds behind every proxy. RFC 8288. */
export function nextPage(
  path: string,
  limit: number,
  next: string | undefined,
  parameters: Readonly<Record<string, string>> = {},
): Record<string, string> {
  if (next === undefined) return {}
  const query = Object.entries({ n: String(limit), last: next, ...parameters }).map(
    ([name, value]) => `${name}=${encodeURIComponent(value)}`,
  )
  return { Link: `<${path}?${query.join('&')}>; rel="next"` }
}
