import { readRepositoryOrTrash } from '../registry/change.ts'
import { commandContext, type RequestContext } from '../registry/context.ts'
import type { MetadataDatabase } from '../storage/metadata/database.ts'
import { findManifestRow } from '../storage/metadata/stores/manifest-store.ts'
import { findLivingOrTrashedByTag } from '../storage/metadata/stores/trash-listing.ts'
import { findTrashBatch } from '../storage/metadata/stores/trash-store.ts'
import type { Digest, RepositoryName, Tag } from '../values/index.ts'
import { askVetoes } from './commands/vetoes.ts'
import { lifecycleError } from './errors.ts'
import type { Evaluator } from './evaluator.ts'
import { policiesOf } from './policies.ts'
import type { RuleVerdict } from './policy/index.ts'

/** Why an image is there, or is not any more, and what becomes of it. Times are milliseconds since 1970. */
export interface ImageExplanation {
  readonly digest: Digest
  readonly state: 'kept' | 'expires' | 'archives' | 'trashed'
  /** The whole in a sentence or two. */
  readonly text: string
  /** What each rule says, with the policy that it is of. */
  readonly verdicts: readonly (RuleVerdict & { readonly policyFrom: string })[]
  /** What forbids its removal, whatever the rules say. */
  readonly vetoes: readonly string[]
  /** Of what is in the trash. */
  readonly trash: { readonly batch: string; readonly since: number; readonly by: string; readonly until: number; readonly cause: unknown; readonly rule: string | undefined } | undefined
}

/**
 * Explains an image by the evaluation that decides about it. Its cost is that of an evaluation of the whole repository.
 * Throws `repository-unknown`, `repository-trashed`, `image-unknown`, `too-many-evaluations`; with a signal that aborts, its reason.
 */
export async function explainImage(
  database: MetadataDatabase,
  evaluator: Evaluator,
  context: RequestContext,
  name: RepositoryName,
  image: { readonly digest?: Digest | undefined; readonly tag?: Tag | undefined },
  signal?: AbortSignal,
): Promise<ImageExplanation> {
  const { reader } = database
  const registry = { registryId: context.registry.id, accountId: context.registry.accountId }
  const repository = await readRepositoryOrTrash(reader, registry, name)
  const digest = image.digest ?? (image.tag === undefined ? undefined : await findLivingOrTrashedByTag(reader, repository.id, image.tag))
  const row = digest === undefined ? undefined : await findManifestRow(reader, repository.id, digest)
  if (digest === undefined || !row) {
    const wanted = image.digest ?? `tag '${image.tag ?? ''}'`
    throw lifecycleError('image-unknown', `The repository with name '${name}' has no image ${wanted}, living or in the trash.`)
  }
  if (row.trashed_at !== null) {
    const batch = row.trash_batch ?? ''
    const cause: unknown = JSON.parse((await findTrashBatch(reader, context.registry.id, batch))?.cause ?? '{}')
    const trash = { batch, since: row.trashed_at, by: row.trashed_by ?? '', until: row.purge_after ?? row.trashed_at, cause, rule: row.trash_rule ?? undefined }
    const by = trash.rule ?? trash.by
    const text = `It was deleted on ${time(trash.since)} by ${by}, and can be brought back until ${time(trash.until)}: stowage trash restore ${name}@${digest}`
    return { digest, state: 'trashed', text, verdicts: [], vetoes: [], trash }
  }
  const policies = await policiesOf(reader, repository)
  const nowMs = context.clock.now()
  const { decisions } = await evaluator.evaluate({ repositoryId: repository.id, account: context.registry.accountId, policies, nowMs, watch: [row.id] }, signal)
  const vetoes = await database.execute(askVetoes, { repositoryId: repository.id, manifestId: row.id }, commandContext(context))
  const why = decisions.why(row.id)
  // It went while everything was evaluated.
  if (why === undefined) throw lifecycleError('image-unknown', `The repository with name '${name}' has no image ${digest} any more. Ask again: it may be in the trash.`)
  const verdicts = why.verdicts.map((verdict) => ({ ...verdict, policyFrom: policies[verdict.policy]!.from }))
  const messages = vetoes.map(({ message }) => message)
  const ruled = policies.length === 0 ? 'It stays: the repository is under no lifecycle policy.' : why.text
  const isVetoed = messages.length > 0
  const state = isVetoed || why.action === 'none' ? 'kept' : why.action === 'expire' ? 'expires' : 'archives'
  const said = isVetoed ? `It stays, whatever the rules say: ${messages.join('; ')}. Of the rules: ${ruled}` : ruled
  const text = row.storage_class === 'active' ? said : `${archiveWords(row.storage_class, row.last_archived_at)} ${said}`
  return { digest, state, text, verdicts, vetoes: messages, trash: undefined }
}

function archiveWords(storageClass: string, archivedAt: number | null): string {
  if (storageClass === 'activating') return 'It is being restored from the archive.'
  return `It is in the archive${archivedAt === null ? '' : ` since ${time(archivedAt)}`}, and cannot be pulled until it is restored.`
}

function time(ms: number): string {
  return new Date(ms).toISOString()
}
