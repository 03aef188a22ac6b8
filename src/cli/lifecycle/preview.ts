import { readAwsEnvironment } from '../../config/aws-environment.ts'
import { exitCodes } from '../../config/exit-codes.ts'
import { isPlatformError } from '../../internal/platform-error.ts'
import { lintPolicy, type PolicyGrammar } from '../../lifecycle/policy/index.ts'
import { parseRepositoryPrefix } from '../../values/index.ts'
import { createAwsAccess } from '../aws/access.ts'
import { resolveAwsSettings, type AwsOptions } from '../aws/settings.ts'
import { connectToStowage, isoTime, jsonText, tableText } from '../aws/stowage-calls.ts'
import type { CommandIo } from '../command-io.ts'
import { readGivenFileOrInput, shownPath } from '../given-file.ts'

export interface PreviewOptions extends AwsOptions {
  /** Of this and `against` one at most is `-`, standard input. */
  readonly file: string
  readonly against: string | undefined
  /** At most one of them; otherwise the whole registry. */
  readonly repository: string | undefined
  readonly prefix: string | undefined
  readonly grammar: PolicyGrammar | undefined
  readonly json: boolean
}

interface Amount {
  readonly imageCount: number
  readonly imageSizeInBytes: number
}

/** With what comes back when they go together, once their time in the trash is over; and what is moved to the archive. */
interface Going extends Amount {
  readonly freedSizeInBytes: number
  /** Not from a server of the version before. */
  readonly archivedImageCount?: number
}

/** As the service answers it; times are seconds since the epoch. */
interface Preview {
  readonly repositoryName: string
  readonly imageCount: number
  readonly before: Going
  readonly after: Going
  readonly deleted: Amount
  readonly spared: Amount
  readonly changes: readonly {
    readonly imageDigest: string
    readonly imageTags: readonly string[]
    readonly imagePushedAt: number
    readonly imageSizeInBytes: number
    readonly change: 'DELETED' | 'SPARED' | 'ARCHIVED' | 'NOT_ARCHIVED'
    readonly rule: string
    readonly policy: string
    /** Whoever pulls it is told first. */
    readonly afterNotice?: true
    /** What forbids it, as long as it is so. */
    readonly vetoes?: readonly string[]
  }[]
}

/**
 * Shows what a policy would delete or archive that is not as it is (or by another policy), and the other way round. What would be
 * refused where it is put is refused, whether or not there is a repository for it.
 */
export async function previewPolicies(io: CommandIo, options: PreviewOptions): Promise<number> {
  const { file, against, repository, prefix, json } = options
  const policyText = await readGivenFileOrInput(file)
  const againstPolicyText = against === undefined ? undefined : await readGivenFileOrInput(against)
  const { grammar } = lintPolicy(policyText, { grammar: options.grammar })
  const scope = repository !== undefined ? 'REPOSITORY' : prefix !== undefined ? 'PREFIX' : 'REGISTRY'
  if (grammar === 'ecr' && scope !== 'REPOSITORY') {
    io.stderr.write("stowage: a lifecycle policy of the ECR API is one repository's: use --repository, or a retention policy.\n")
    return exitCodes.usage.code
  }
  const problem = problemOf(file, policyText, grammar) ?? problemOf(against, againstPolicyText, grammar) ?? problemOfPrefix(prefix)
  if (problem !== undefined) {
    io.stderr.write(`stowage: ${problem}\n`)
    return exitCodes.failed.code
  }
  const call = await connectToStowage(options)
  const policyType = grammar === 'ecr' ? 'LIFECYCLE' : 'RETENTION'
  const previews: Preview[] = []
  for (const repositoryName of repository === undefined ? await repositoriesUnder(options, prefix) : [repository]) {
    previews.push(await call<Preview>('PreviewPolicy', { repositoryName, policyType, scope, prefix, policyText, againstPolicyText }))
  }
  if (previews.length === 0) io.stderr.write(`note: ${prefix === undefined ? 'there is no repository' : `no repository is under the prefix ${prefix}`}, so that nothing would change now.\n`)
  if (json) io.stdout.write(jsonText(previews.map(forPeople)))
  else if (previews.length > 0) io.stdout.write(previewText(previews))
  return exitCodes.ok.code
}

/** Why a file's policy would be refused. */
function problemOf(file: string | undefined, policyText: string | undefined, grammar: PolicyGrammar): string | undefined {
  if (file === undefined || policyText === undefined) return undefined
  const refusal = lintPolicy(policyText, { grammar }).findings.find(({ severity }) => severity === 'error')
  return refusal && `${shownPath(file)}: ${refusal.text}`
}

function problemOfPrefix(prefix: string | undefined): string | undefined {
  if (prefix === undefined) return undefined
  if (prefix === 'ROOT') return 'ROOT is no prefix of names: --whole-registry is for all repositories.'
  try {
    parseRepositoryPrefix(prefix)
    return undefined
  } catch (error) {
    if (!isPlatformError(error, 'repository-name-invalid')) throw error
    return `'${prefix}' is no prefix of names. ${error.message}`
  }
}

async function repositoriesUnder(options: AwsOptions, prefix: string | undefined): Promise<string[]> {
  const access = createAwsAccess(await resolveAwsSettings(readAwsEnvironment(), options))
  const { ECRClient, paginateDescribeRepositories } = await import('@aws-sdk/client-ecr')
  const client = new ECRClient(access.clientConfig('ecr'))
  const start = prefix === undefined ? '' : `${prefix.replace(/\/$/u, '')}/`
  try {
    return await access.call('ecr', async () => {
      const names: string[] = []
      for await (const { repositories = [] } of paginateDescribeRepositories({ client, pageSize: 1000 }, {})) {
        names.push(...repositories.flatMap(({ repositoryName = '' }) => (repositoryName.startsWith(start) ? [repositoryName] : [])))
      }
      return names.sort()
    })
  } finally {
    client.destroy()
  }
}

function previewText(previews: readonly Preview[]): string {
  const isArchiving = previews.some(({ before, after }) => (before.archivedImageCount ?? 0) + (after.archivedImageCount ?? 0) > 0)
  const heading = ['repository', 'images', 'go now', 'would go', 'more', 'fewer', 'size of more', 'gives back now', 'would give back', ...(isArchiving ? ['archived now', 'would be archived'] : [])]
  const rows = previews.map(({ repositoryName, imageCount, before, after, deleted, spared }) => [
    repositoryName,
    ...[imageCount, before.imageCount, after.imageCount, deleted.imageCount, spared.imageCount].map(String),
    ...[deleted.imageSizeInBytes, before.freedSizeInBytes, after.freedSizeInBytes].map(sizeText),
    ...(isArchiving ? [before, after].map(({ archivedImageCount = 0 }) => String(archivedImageCount)) : []),
  ])
  const changes = previews.flatMap(({ repositoryName, changes: of }) =>
    of.map((image) => [
      changeText(image),
      `${repositoryName}@${image.imageDigest.slice(0, 19)}`,
      image.imageTags.join(' '),
      isoTime(image.imagePushedAt).slice(0, 10),
      [`${image.rule} of ${image.policy}`, ...(image.vetoes ?? [])].join('; '),
    ]),
  )
  const notes = [
    ...(previews.some(({ before, after }) => before.imageCount + after.imageCount > 0)
      ? ['What goes is in the trash first. Its space comes back when its time there is over: that of layers which no other image has.\n']
      : []),
    ...(changes.some(([what]) => what === heldText) ? [`What is protected or in use stays as long as it is: counted above, and marked ${heldText} below.\n`] : []),
  ]
  const table = `${tableText(heading, rows)}${notes.join('')}`
  return changes.length === 0 ? table : `${table}\n${tableText(['', 'image', 'tags', 'pushed', 'by'], changes)}`
}

const heldText = '! held'

function changeText({ change, afterNotice, vetoes = [] }: Preview['changes'][number]): string {
  if (vetoes.length > 0) return heldText
  const when = afterNotice === true ? ' after notice' : ''
  switch (change) {
    case 'DELETED':
      return `- goes${when}`
    case 'ARCHIVED':
      return `- is archived${when}`
    case 'SPARED':
      return '+ stays'
    case 'NOT_ARCHIVED':
      return '+ is not archived'
  }
}

function sizeText(bytes: number): string {
  return `${(bytes / 1_000_000).toFixed(1)} MB`
}

function forPeople({ changes, ...rest }: Preview): object {
  return { ...rest, changes: changes.map(({ imagePushedAt, ...image }) => ({ ...image, imagePushedAt: isoTime(imagePushedAt) })) }
}
