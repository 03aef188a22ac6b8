import type { Session } from '../../storage/metadata/session.ts'
import {
  childrenOf,
  namesOf,
  parentsOf,
  referrersOf,
  subjectsOf,
  tagsOf,
  type Kinship,
} from '../../storage/metadata/stores/image-kin.ts'
import type { Digest } from '../../values/index.ts'

/** What speaks for an image: if one of these must not go, it must not go either. */
export interface Kin {
  /** Of its manifests and their configs. */
  readonly digests: ReadonlySet<Digest>
  readonly tags: ReadonlySet<string>
}

/**
 * For each manifest everything whose use or protection forbids to remove it:
 * - itself, what it lists, and the referrers of all of these: they go together;
 * - the indexes that list it: without it they are broken;
 * - its subject with all of that, since a referrer goes with its subject.
 *
 * One statement for each generation and kind of edge, however many manifests are asked about.
 */
export async function kinOf(session: Session, manifestIds: readonly number[]): Promise<Map<number, Kin>> {
  const above = new Graph()
  const subjects = new Map<number, number[]>()
  await above.grow(manifestIds, async (ids) => {
    const toSubjects = await subjectsOf(session, ids)
    for (const { from, to } of toSubjects) add(subjects, from, to)
    return [...toSubjects, ...(await parentsOf(session, ids))]
  })
  const below = new Graph()
  const grownFrom = new Set([...manifestIds, ...[...subjects.values()].flat()])
  await below.grow([...grownFrom], async (ids) => [...(await childrenOf(session, ids)), ...(await referrersOf(session, ids))])

  const all = [...new Set([...above.ids, ...below.ids])]
  const digests = grouped((await namesOf(session, all)).map(({ id, digest }) => [id, digest]))
  const tags = grouped((await tagsOf(session, all)).map(({ id, tag }) => [id, tag]))
  return new Map(
    manifestIds.map((id) => {
      const ancestors = above.reach([id])
      const goingTogether = below.reach([id, ...ancestors.flatMap((ancestor) => subjects.get(ancestor) ?? [])])
      const kin = [...ancestors, ...goingTogether]
      return [
        id,
        {
          digests: new Set(kin.flatMap((member) => digests.get(member) ?? [])),
          tags: new Set(kin.flatMap((member) => tags.get(member) ?? [])),
        },
      ]
    }),
  )
}

/** Manifests and the edges between them, as far as they can be reached. */
class Graph {
  readonly #edges = new Map<number, number[]>()
  readonly ids = new Set<number>()

  /** Follows edges from `start` on until there are no new ones. */
  async grow(start: readonly number[], edgesFrom: (ids: readonly number[]) => Promise<readonly Kinship[]>): Promise<void> {
    let frontier = [...new Set(start)]
    while (frontier.length > 0) {
      for (const id of frontier) this.ids.add(id)
      const next = new Set<number>()
      for (const { from, to } of await edgesFrom(frontier)) {
        add(this.#edges, from, to)
        if (!this.ids.has(to)) next.add(to)
      }
      frontier = [...next]
    }
  }

  /** Everything that can be reached from `start`, itself included. */
  reach(start: readonly number[]): number[] {
    const reached = new Set(start)
    for (const id of reached) {
      for (const to of this.#edges.get(id) ?? []) reached.add(to)
    }
    return [...reached]
  }
}

function add<Key, Value>(map: Map<Key, Value[]>, key: Key, value: Value): void {
  const values = map.get(key)
  if (values) values.push(value)
  else map.set(key, [value])
}

function grouped<Key, Value>(pairs: readonly (readonly [Key, Value])[]): Map<Key, Value[]> {
  const map = new Map<Key, Value[]>()
  for (const [key, value] of pairs) add(map, key, value)
  return map
}
