import { mkdirSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { callStowage, iamClient, newUser } from '../support/identities.ts'
import { buildImage, buildIndex, pushImage, type Image } from '../support/images.ts'
import { installPrograms } from '../support/installed-programs.ts'
import { run, type RunResult } from '../support/run.ts'
import { startStowage, type Stowage } from '../support/start-stowage.ts'
import { createTempDir, type TempDir } from '../support/temp-dir.ts'
import { ensureTool } from '../support/tools.ts'

/*
 * Deletions by the aws command, undone by `stowage trash`, and pulled again by skopeo.
 */

let dir: TempDir
let stowage: Stowage
let path: string
let repository: string
let count = 0

beforeAll(async () => {
  dir = createTempDir('trash')
  mkdirSync(join(dir.path, 'bin'))
  path = installPrograms(join(dir.path, 'bin'), dirname(ensureTool('aws')))
  stowage = await startStowage({ env: { STOWAGE_GC_INTERVAL_MS: '200' } })
})
afterAll(async () => {
  await stowage?.stop()
  dir?.remove()
})

const command = (program: string, words: readonly string[]): Promise<RunResult> =>
  run(program, words, { env: { ...stowage.awsEnv, PATH: path, HOME: dir.path }, mayFail: true })
const trash = (...words: string[]): Promise<RunResult> => command('stowage', ['trash', ...words])

async function aws(...words: string[]): Promise<Record<string, unknown>> {
  const result = await command('aws', ['ecr', ...words, '--repository-name', repository, '--output', 'json'])
  expect(result.exitCode, result.output).toBe(0)
  return result.stdout === '' ? {} : (JSON.parse(result.stdout) as Record<string, unknown>)
}

/** Whoever was told that a layer is there before its image was deleted has pushed by now, or never will. */
function hourPasses(): void {
  const database = new DatabaseSync(join(stowage.dataDir, 'stowage.db'), { timeout: 10_000 })
  database.exec('update manifest set trashed_at = 1 where trashed_at is not null and purge_after <= (unixepoch() + 1) * 1000')
  database.exec("update review set due_at = 1 where reason = 'trash emptied'")
  database.close()
}

async function newRepository(...options: string[]): Promise<void> {
  count += 1
  repository = `undo/app-${count}`
  await aws('create-repository', ...options)
}

const push = (image: Image, tag: string) => pushImage({ url: stowage.url, repository, auth: stowage.credentials }, image, tag)

/** Pulls an image with all its parts, as a client that checks every digest does; answers why it did not. */
async function pull(reference: string): Promise<string> {
  const { username, password } = stowage.credentials
  const from = `docker://${stowage.registryHost}/${repository}${reference}`
  const words = ['copy', '--all', '--src-tls-verify=false', '--src-creds', `${username}:${password}`, from, `dir:${join(dir.path, `pulled-${count}`)}`]
  const { exitCode, output } = await run(ensureTool('skopeo'), words, { mayFail: true })
  return exitCode === 0 ? 'pulled' : output
}

async function batches(): Promise<{ trashBatch: string; kind: string; cause: { action?: string }; imageCount: number }[]> {
  const listed = await trash('list', repository, '--json')
  expect(listed.exitCode, listed.output).toBe(0)
  return JSON.parse(listed.stdout) as Awaited<ReturnType<typeof batches>>
}

it('undoes batch-delete-image: an index comes back with its platforms, under its tag', async () => {
  await newRepository()
  const index = buildIndex([buildImage({ seed: 'amd64' }), buildImage({ seed: 'arm64' })])
  await push(index, 'v1')
  await aws('batch-delete-image', '--image-ids', 'imageTag=v1')
  expect(await pull(':v1')).toContain('manifest unknown')

  const [batch] = await batches()
  expect(batch).toMatchObject({ kind: 'IMAGES', imageCount: 3, cause: { action: 'BatchDeleteImage' } })
  const shown = await trash('show', repository, batch!.trashBatch)
  expect(shown.stdout).toContain(`image       ${index.manifest.digest}  v1\n`)
  expect(shown.stdout).toMatch(/^cause {7}BatchDeleteImage, requestId [0-9a-f-]+$/mu)
  const restored = await trash('restore', repository, '--batch', batch!.trashBatch)

  expect(restored.exitCode, restored.output).toBe(0)
  expect(restored.stdout).toContain(`${repository}@${index.manifest.digest} is back: v1\n`)
  expect(await pull(':v1')).toBe('pulled')
  expect(await batches()).toEqual([])
  const again = await trash('restore', repository, '--batch', batch!.trashBatch)
  expect(again.stderr).toContain('TrashNotFoundException')
})

it('brings an image back by the tag that it had or by its digest, and says which tag others have taken', async () => {
  await newRepository()
  const [first, second] = [buildImage({ seed: 'first' }), buildImage({ seed: 'second' })]
  await push(first, 'latest')
  await push(first, 'v1')
  await aws('batch-delete-image', '--image-ids', `imageDigest=${first.manifest.digest}`)
  await push(second, 'latest')

  const restored = await trash('restore', `${repository}:v1`)

  expect(restored.exitCode, restored.output).toBe(8)
  expect(restored.stdout).toBe(
    `${repository}@${first.manifest.digest} is back: v1\n  not its tag latest: it was given to ${second.manifest.digest} since\n`,
  )
  expect(await pull(':v1')).toBe('pulled')
  await aws('batch-delete-image', '--image-ids', 'imageTag=v1')
  expect((await trash('restore', `${repository}@${first.manifest.digest}`, '--json')).exitCode).toBe(0)
  expect(await pull(':v1')).toBe('pulled')
  expect((await trash('restore', `${repository}:v1`)).stderr).toContain('TrashNotFoundException')
  expect((await trash('restore', repository)).stderr).toContain('name an image')
})

it('undoes delete-repository --force: images, tags, policies and settings', async () => {
  await newRepository('--image-tag-mutability', 'IMMUTABLE', '--tags', 'Key=team,Value=red')
  const policy = JSON.stringify({ Version: '2012-10-17', Statement: [{ Sid: 'a', Effect: 'Allow', Principal: '*', Action: 'ecr:BatchGetImage' }] })
  const lifecycle = JSON.stringify({
    rules: [{ rulePriority: 1, selection: { tagStatus: 'untagged', countType: 'imageCountMoreThan', countNumber: 5 }, action: { type: 'expire' } }],
  })
  await aws('set-repository-policy', '--policy-text', policy)
  await aws('put-lifecycle-policy', '--lifecycle-policy-text', lifecycle)
  await push(buildImage({ seed: 'whole' }), 'v1')
  const before = [await aws('describe-images'), await aws('get-repository-policy'), (await aws('get-lifecycle-policy'))['lifecyclePolicyText']]
  await aws('delete-repository', '--force')
  expect(await pull(':v1')).not.toBe('pulled')

  const [batch] = await batches()
  expect(batch).toMatchObject({ kind: 'REPOSITORY', cause: { action: 'DeleteRepository' } })
  const restored = await trash('restore', repository, '--batch', batch!.trashBatch)

  expect(restored.stdout).toBe(`${repository} is back, with everything that was in it.\n`)
  expect([await aws('describe-images'), await aws('get-repository-policy'), (await aws('get-lifecycle-policy'))['lifecyclePolicyText']]).toEqual(before)
  expect(await pull(':v1')).toBe('pulled')
  const arn = `arn:aws:ecr:${stowage.region}:000000000000:repository/${repository}`
  const tags = await command('aws', ['ecr', 'list-tags-for-resource', '--resource-arn', arn, '--output', 'json'])
  expect(JSON.parse(tags.stdout)).toEqual({ tags: [{ Key: 'team', Value: 'red' }] })
  const described = await command('aws', ['ecr', 'describe-repositories', '--repository-names', repository, '--output', 'json'])
  expect(described.stdout).toContain('"IMMUTABLE"')
})

it('undoes a push that moved a tag, and the deletion of one of several, by the numbers of the changes', async () => {
  await newRepository()
  const [first, second] = [buildImage({ seed: 'before' }), buildImage({ seed: 'after' })]
  await push(first, 'latest')
  await push(first, 'stable')
  await push(second, 'latest')
  await push(second, 'next')
  await aws('batch-delete-image', '--image-ids', 'imageTag=next')

  const changes = JSON.parse((await trash('changes', repository, '--json')).stdout) as { changeId: number; imageTag: string; imageDigest?: string; previousImageDigest?: string }[]
  expect(changes.map(({ imageTag, imageDigest, previousImageDigest }) => [imageTag, previousImageDigest, imageDigest])).toEqual([
    ['next', second.manifest.digest, undefined],
    ['next', undefined, second.manifest.digest],
    ['latest', first.manifest.digest, second.manifest.digest],
    ['stable', undefined, first.manifest.digest],
    ['latest', undefined, first.manifest.digest],
  ])
  expect(await pull(':next')).toContain('manifest unknown')
  expect((await trash('undo', repository, String(changes[0]!.changeId))).stdout).toBe(`${repository}:next names ${second.manifest.digest} again.\n`)
  expect(await pull(':next')).toBe('pulled')
  const move = String(changes[2]!.changeId)
  const undone = await trash('undo', repository, move)

  expect(undone.stdout).toBe(`${repository}:latest names ${first.manifest.digest} again.\n`)
  const repeated = await trash('undo', repository, move)
  expect(repeated.stderr).toContain('TagChangedException')
  expect((await trash('changes', repository, '--tag', 'latest', '--limit', '1')).stdout).toContain(second.manifest.digest)
  expect((await trash('changes', repository, '--tag', 'nope')).stdout).toBe('No change of the tag nope is known.\n')
  expect(await pull(':latest')).toBe('pulled')
})

it('ends the time of a batch where that is asked for twice, and then it is gone for good', async () => {
  await newRepository()
  await push(buildImage({ seed: 'purged' }), 'v1')
  await aws('batch-delete-image', '--image-ids', 'imageTag=v1')
  const [batch] = await batches()

  const plan = await trash('purge', repository, batch!.trashBatch)
  expect(plan.stderr).toBe('Nothing was changed. Add --apply to purge it; nothing brings it back once collection has come.\n')
  expect(plan.stdout).toContain('BatchDeleteImage')
  expect(await batches()).toHaveLength(1)
  const purged = await trash('purge', repository, batch!.trashBatch, '--apply')

  expect(purged.exitCode, purged.output).toBe(0)
  hourPasses()
  await expect.poll(batches, { timeout: 20_000 }).toEqual([])
  expect((await trash('restore', repository, '--batch', batch!.trashBatch)).stderr).toContain('TrashNotFoundException')
})

it('answers page by page, refuses what it did not give out, and lets only those restore who have the right to', async () => {
  await newRepository()
  for (const seed of ['one', 'two', 'three']) {
    await push(buildImage({ seed }), seed)
    await aws('batch-delete-image', '--image-ids', `imageTag=${seed}`)
  }
  const call = async (keys: Parameters<typeof callStowage>[1], operation: string, input: object) => {
    const { status, body } = await callStowage(stowage.url, keys, operation, { repositoryName: repository, ...input })
    return { status, body: body as { __type?: string; trash: { trashBatch: string }[]; nextToken?: string } }
  }
  const first = await call(stowage.keys, 'ListTrash', { maxResults: 2 })
  const second = await call(stowage.keys, 'ListTrash', { maxResults: 2, nextToken: first.body.nextToken })
  const ids = [...first.body.trash, ...second.body.trash].map(({ trashBatch }) => trashBatch)
  expect(new Set(ids).size).toBe(3)
  expect(second.body.nextToken).toBeUndefined()
  expect((await batches()).map(({ trashBatch }) => trashBatch)).toEqual(ids)

  const iam = iamClient(stowage.url, stowage.keys)
  const looker = await newUser(iam, { Action: ['ecr:*', 'stowage:ListTrash'], Resource: `arn:aws:ecr:us-east-1:000000000000:repository/${repository}` })
  iam.destroy()
  expect((await call(looker, 'ListTrash', {})).status).toBe(200)
  expect((await call(looker, 'ListTrash', { repositoryName: undefined })).body.__type).toContain('AccessDenied')
  expect((await call(looker, 'RestoreTrash', { trashBatch: ids[0] })).body.__type).toContain('AccessDenied')
  const refusals = [
    ['ListTrash', { nextToken: 'made-up' }],
    ['RestoreTrash', {}],
    ['RestoreTrash', { trashBatch: ids[0], imageId: { imageTag: 'one' } }],
    ['RestoreTrash', { imageId: {} }],
    ['RestoreTrash', { imageId: { imageDigest: 'sha256:00' } }],
    ['RestoreTrash', { trashBatch: `${ids[0]!}'` }],
  ] as const
  for (const [operation, input] of refusals) {
    expect((await call(stowage.keys, operation, input)).body.__type, JSON.stringify(input)).toContain('InvalidParameterException')
  }
  // A batch of one repository is nothing to whoever names another.
  expect((await call(stowage.keys, 'RestoreTrash', { repositoryName: 'undo/app-1', trashBatch: ids[0] })).body.__type).toContain('TrashNotFoundException')
  expect(await batches()).toHaveLength(3)
})

it('restores and moves back only tags that the caller has a right to', async () => {
  await newRepository()
  for (const tag of ['dev-1', 'prod-1']) await push(buildImage({ seed: `rights ${tag}` }), tag)
  await push(buildImage({ seed: 'rights moved' }), 'prod-1')
  await aws('batch-delete-image', '--image-ids', 'imageTag=dev-1')
  for (const tag of ['prod-2', 'dev-2']) await push(buildImage({ seed: 'rights prod-2' }), tag)
  const { imageDetails: [both] = [] } = (await aws('describe-images', '--image-ids', 'imageTag=prod-2')) as { imageDetails?: { imageDigest: string }[] }
  await aws('batch-delete-image', '--image-ids', `imageDigest=${both?.imageDigest ?? ''}`)
  const iam = iamClient(stowage.url, stowage.keys)
  const resource = `arn:aws:ecr:us-east-1:000000000000:repository/${repository}`
  const developer = await newUser(iam, { Action: 'stowage:*', Resource: resource, Condition: { StringLike: { 'stowage:ImageTag': 'dev-*' } } }, { Action: 'stowage:List*', Resource: resource })
  iam.destroy()
  const call = async (operation: string, input: object) => (await callStowage(stowage.url, developer, operation, { repositoryName: repository, ...input })).body
  const batchOf = async (tag: string): Promise<string> => {
    for (const { trashBatch } of await batches()) if ((await trash('show', repository, trashBatch)).stdout.includes(tag)) return trashBatch
    throw new Error(`${tag} is in no batch`)
  }

  expect((await call('RestoreTrash', { imageId: { imageTag: 'prod-2' } }))['__type']).toContain('AccessDenied')
  // Of an image with a tag that is the caller's, and one that is not.
  expect((await call('RestoreTrash', { imageId: { imageTag: 'dev-2' } }))['__type']).toContain('AccessDenied')
  expect((await call('RestoreTrash', { trashBatch: await batchOf('prod-2') }))['__type']).toContain('AccessDenied')
  const { tagChanges } = (await call('ListTagChanges', { imageTag: 'prod-1' })) as { tagChanges: { changeId: number; previousImageDigest?: string }[] }
  const moved = tagChanges.find(({ previousImageDigest }) => previousImageDigest !== undefined)
  expect((await call('UndoTagChange', { changeId: moved?.changeId }))['__type']).toContain('AccessDenied')
  expect(await call('RestoreTrash', { trashBatch: await batchOf('dev-1') })).toMatchObject({ images: [{ imageTags: ['dev-1'] }] })
})
