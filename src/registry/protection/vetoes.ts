import type { Session } from '../../storage/metadata/session.ts'
import { guardsOf } from '../../storage/metadata/stores/guard-store.ts'
import { keepHoldsAsTheyAre, openHolds, type OpenHoldRow } from '../../storage/metadata/stores/hold-store.ts'
import { protectionsInForce, type ProtectionRow } from '../../storage/metadata/stores/protection-store.ts'
import { lockRegistryRow, type RepositoryRow } from '../../storage/metadata/stores/repository-store.ts'
import { leasesOn, leasesWithin, listActiveSources, shareActiveSources, type HeldDigest, type UsageSourceRow } from '../../storage/metadata/stores/usage-store.ts'
import type { Digest } from '../../values/index.ts'
import { doubtOf, doubtText, isInScope, scopeOf } from '../usage/source-health.ts'
import { holdText, holdsOver } from './hold-words.ts'
import { kinOf, type Kin } from './kin.ts'

/** Why something must not go. */
export interface Veto {
  readonly kind: 'protection' | 'lease' | 'source-doubted' | 'hold'
  /** A sentence without its full stop: who or what holds it, why, and until when. Names and reasons only, never a secret. */
  readonly message: string
}

/** Who wants to remove it: a rule that acts by itself is stopped by doubts and holds, somebody's hand is not. */
export interface RemovalMode {
  readonly mode: 'automatic' | 'by-hand'
  /** Somebody who only wants to know: nothing is locked, and what is answered may be otherwise by the time it is read. */
  readonly onlyAsks?: boolean
}

type GuardedRepository = Pick<RepositoryRow, 'id' | 'name' | 'registry_id'>

/** What forbids to remove things of one repository, looked up once for all that a command removes of it. */
export interface OpenVetoes {
  /**
   * Against removing manifests, trashed ones too, by the manifest's number; none for those that may go. A manifest is held by
   * whatever holds one of its kin (`kinOf`): the index by a lease of its child, the image by one of its config, the signature by
   * a protection of what it signs.
   */
  ofManifests(manifestIds: readonly number[]): Promise<Map<number, Veto[]>>
  /** Against removing anything at all of the repository: its own protection and, with `automatic`, holds and doubted sources. */
  ofEverything(): Veto[]
  /** Against taking a tag away while its image stays: its protection, or the repository's. */
  ofTag(tag: string): Veto[]
}

/**
 * The caller holds the repository's lock. Until its command ends no source takes leases in or away and, with `automatic`,
 * nobody puts the registry on hold: what was committed before counts, what comes after finds the removal done.
 *
 * One statement where the registry has no source and no hold and the repository no protection, and none for what is then
 * asked; a dozen otherwise, however many manifests are asked about at once.
 */
export async function openVetoes(tx: Session, repository: GuardedRepository, nowMs: number, removal: RemovalMode): Promise<OpenVetoes> {
  const guards = await loadGuards(tx, repository, nowMs, removal)
  return {
    async ofManifests(manifestIds) {
      const vetoes = new Map<number, Veto[]>()
      if (guards === undefined || manifestIds.length === 0) return vetoes
      const ofAll = guards.againstAll()
      const kin = guards.asksForKin ? await kinOf(tx, manifestIds) : new Map<number, Kin>()
      const leases = guards.asksForLeases ? await leasesByDigest(tx, repository.registry_id, kin) : new Map<Digest, HeldDigest[]>()
      for (const id of manifestIds) {
        const found = [...ofAll, ...guards.againstImage(kin.get(id), leases)]
        if (found.length > 0) vetoes.set(id, found)
      }
      return vetoes
    },
    ofEverything: () => guards?.againstAll() ?? [],
    ofTag: (tag) => guards?.againstTag(tag) ?? [],
  }
}

/** `openVetoes`, for one question. */
export async function findVetoes(
  tx: Session,
  repository: GuardedRepository,
  manifestIds: readonly number[],
  nowMs: number,
  removal: RemovalMode,
): Promise<Map<number, Veto[]>> {
  return (await openVetoes(tx, repository, nowMs, removal)).ofManifests(manifestIds)
}

/** The vetoes against removing a repository whole: everything that holds it, or anything in it. Of leases some examples. */
export async function findRepositoryVetoes(
  tx: Session,
  repository: GuardedRepository,
  nowMs: number,
  removal: RemovalMode,
): Promise<Veto[]> {
  // Its row is changed by the removal of a repository, and sources are locked after it.
  if (tx.dialect === 'postgres' && removal.onlyAsks !== true) await lockRegistryRow(tx, repository.registry_id)
  const guards = await loadGuards(tx, repository, nowMs, removal)
  return guards === undefined ? [] : guards.againstRepository(tx)
}

/** The messages of vetoes as one. */
export function vetoText(vetoes: readonly Veto[]): string {
  const shown = vetoes.slice(0, maxShownVetoes).map(({ message }) => message)
  const more = vetoes.length - shown.length
  return `${shown.join('; ')}${more > 0 ? `; and ${more} more` : ''}`
}

/** One reason is enough to refuse, and a few tell whom to ask. */
const maxShownVetoes = 5
/** Leases named against the removal of a repository. */
const maxLeaseExamples = 3

async function loadGuards(
  tx: Session,
  repository: GuardedRepository,
  nowMs: number,
  { mode, onlyAsks = false }: RemovalMode,
): Promise<Guards | undefined> {
  const registryId = repository.registry_id
  if (mode === 'automatic' && tx.dialect === 'postgres' && !onlyAsks) await keepHoldsAsTheyAre(tx, registryId)
  const present = await guardsOf(tx, registryId, repository.id, nowMs)
  if (!present.hasProtections && !present.hasSources && !present.hasHolds) return undefined
  return new Guards(repository, nowMs, mode, {
    protections: present.hasProtections ? await protectionsInForce(tx, repository.id, nowMs) : [],
    sources: present.hasSources ? await (onlyAsks ? listActiveSources : shareActiveSources)(tx, registryId) : [],
    holds: present.hasHolds || present.hasSources ? await openHolds(tx, registryId) : [],
  })
}

/** Everything that may hold something of a repository back at a time. */
class Guards {
  readonly #repository: GuardedRepository
  readonly #nowMs: number
  readonly #mode: RemovalMode['mode']
  readonly #protections: readonly ProtectionRow[]
  /** Those that speak for the repository. */
  readonly #sources: ReadonlyMap<number, UsageSourceRow>
  readonly #holds: readonly OpenHoldRow[]
  /** The clock cannot be trusted to end anything. */
  readonly #clockIsDoubted: boolean

  constructor(
    repository: GuardedRepository,
    nowMs: number,
    mode: RemovalMode['mode'],
    found: { protections: readonly ProtectionRow[]; sources: readonly UsageSourceRow[]; holds: readonly OpenHoldRow[] },
  ) {
    this.#repository = repository
    this.#nowMs = nowMs
    this.#mode = mode
    this.#protections = found.protections
    const inScope = found.sources.filter((source) => isInScope(scopeOf(source), repository.name))
    this.#sources = new Map(inScope.map((source) => [source.id, source]))
    this.#holds = found.holds
    this.#clockIsDoubted = found.holds.some(({ cause }) => cause === 'clock')
  }

  get asksForLeases(): boolean {
    return this.#sources.size > 0
  }

  get asksForKin(): boolean {
    return this.asksForLeases || this.#protections.some(({ kind }) => kind !== 'repository')
  }

  /** What holds everything in the repository. */
  againstAll(): Veto[] {
    const vetoes = this.#protections.filter(({ kind }) => kind === 'repository').map(protectionVeto)
    if (this.#mode === 'by-hand') return vetoes
    for (const hold of holdsOver(this.#holds, this.#repository.name)) vetoes.push({ kind: 'hold', message: holdText(hold) })
    for (const source of this.#sources.values()) {
      const doubt = doubtOf(source, this.#nowMs)
      // Where somebody has seen the doubt and let automatic removal go on, only the leases are left.
      if (doubt !== undefined && source.waived_at === null) vetoes.push({ kind: 'source-doubted', message: doubtText(source.name, doubt) })
    }
    return vetoes
  }

  againstTag(tag: string): Veto[] {
    return this.#protections.filter(({ kind, target }) => kind === 'repository' || (kind === 'tag' && target === tag)).map(protectionVeto)
  }

  againstImage(kin: Kin | undefined, leases: ReadonlyMap<Digest, readonly HeldDigest[]>): Veto[] {
    if (kin === undefined) return []
    const vetoes = this.#protections
      .filter(({ kind, target }) => (kind === 'tag' && kin.tags.has(target)) || (kind === 'digest' && kin.digests.has(target as Digest)))
      .map(protectionVeto)
    for (const digest of kin.digests) {
      for (const lease of leases.get(digest) ?? []) {
        const source = this.#sources.get(lease.sourceId)
        if (source !== undefined && this.#isInForce(lease, source)) vetoes.push(leaseVeto(lease, source))
      }
    }
    return vetoes
  }

  async againstRepository(tx: Session): Promise<Veto[]> {
    const vetoes = [...this.againstAll(), ...this.#protections.filter(({ kind }) => kind !== 'repository').map(protectionVeto)]
    for (const source of this.#sources.values()) {
      const { id: repositoryId, name } = this.#repository
      const endedBefore = this.#endsCount(source) ? this.#nowMs : 0
      const examples = await leasesWithin(tx, { sourceId: source.id, repositoryId, name, endedBefore, limit: maxLeaseExamples })
      for (const { digest, workload } of examples) {
        vetoes.push({ kind: 'lease', message: `${digest} is in use by ${workload} (usage source '${source.name}', ${source.environment})` })
      }
    }
    return vetoes
  }

  #isInForce({ repository, until }: HeldDigest, source: UsageSourceRow): boolean {
    if (repository !== '' && repository !== this.#repository.name) return false
    return until === undefined || until > this.#nowMs || !this.#endsCount(source)
  }

  /** The last that was believed of a source in doubt holds on whatever the time: it may only have lost its voice. */
  #endsCount(source: UsageSourceRow): boolean {
    return !this.#clockIsDoubted && doubtOf(source, this.#nowMs) === undefined
  }
}

async function leasesByDigest(tx: Session, registryId: number, kin: ReadonlyMap<number, Kin>): Promise<Map<Digest, HeldDigest[]>> {
  const digests = new Set([...kin.values()].flatMap((member) => [...member.digests]))
  return Map.groupBy(await leasesOn(tx, registryId, [...digests]), ({ digest }) => digest)
}

function protectionVeto({ kind, target, owner, reason, ends_at: endsAt }: ProtectionRow): Veto {
  const what = kind === 'repository' ? 'the repository' : kind === 'tag' ? `the tag '${target}'` : target
  const until = endsAt === null ? '' : ` until ${new Date(endsAt).toISOString()}`
  return { kind: 'protection', message: `${what} is protected by ${owner}${until}: ${reason}` }
}

function leaseVeto({ digest, workload, workloadCount }: HeldDigest, source: UsageSourceRow): Veto {
  const more = workloadCount > 1 ? ` and ${workloadCount - 1} more` : ''
  return { kind: 'lease', message: `${digest} is in use by ${workload}${more} (usage source '${source.name}', ${source.environment})` }
}
