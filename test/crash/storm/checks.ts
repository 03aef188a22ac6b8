import { createDistributionClient, type ClientResponse, type DistributionClient } from '../../support/distribution-client.ts'
import { digestOf } from '../../support/images.ts'
import type { Stowage } from '../../support/start-stowage.ts'
import type { BlobRecord, ImageRecord, Ledger } from './ledger.ts'
import type { StorageView } from './storage-view.ts'
import type { TagHistory } from './tag-history.ts'

/** Requests under way at once; the server has nothing else to do. */
const checkers = 8

/**
 * Looks at rows and files right after a start, before any client comes: what a kill left behind has been settled by
 * then.
 */
export async function checkStorage(view: StorageView, ledger: Ledger): Promise<void> {
  const open = await view.openUploads()
  for (const name of view.uploadFiles()) if (!open.has(name)) ledger.violation(`the upload file ${name} belongs to no session`)
  const locations = await view.activeLocations()
  const files = view.blobFiles()
  for (const [key, sizeBytes] of locations) {
    const found = files.get(key)
    if (found !== sizeBytes) ledger.violation(`the blob ${key} of ${sizeBytes} bytes has a file of ${String(found)}`)
  }
  for (const key of files.keys()) if (!locations.has(key)) ledger.violation(`no row knows the blob file ${key}`)
  for (const key of view.misnamedBlobs()) ledger.violation(`the file ${key} is not what its name says`)

  const audited = await view.newAuditedRequests()
  for (const id of ledger.unauditedRequests) if (!audited.has(id)) ledger.violation(`no audit row for the acknowledged request ${id}`)
  ledger.unauditedRequests = []
}

export interface ContentCheck {
  /** Look at everything with all its bytes, rather than at what changed in this round. */
  readonly full: boolean
}

/** Asks the server, while no client writes, for all that was acknowledged; then nothing is unknown any more. */
export async function checkContent(stowage: Stowage, repositories: readonly string[], ledger: Ledger, { full }: ContentCheck): Promise<void> {
  const client = createDistributionClient(stowage.url, stowage.credentials)
  const isDue = ({ changedInRound }: { changedInRound: number }): boolean => full || changedInRound === ledger.round
  try {
    const images = ledger.images.filter(isDue)
    const uncertain = new Set(images.filter(({ presence, arrivesWithTag }) => presence === 'unknown' && arrivesWithTag))
    await all(images, (image) => checkImage(client, image, ledger))
    await all(ledger.blobs.filter(isDue), (blob) => checkBlob(client, blob, ledger))
    for (const repository of repositories) {
      await checkTags(client, repository, ledger, full)
    }
    for (const image of uncertain) {
      const isTagged = ledger.tag(image.repository, image.ownTag).settled === image.digest
      if (isTagged !== (image.presence === 'present')) {
        ledger.violation(`half a push: ${image.repository}@${image.digest} is ${image.presence}, and ${image.ownTag} points at ${isTagged ? 'it' : 'something else'}`)
      }
      image.arrivesWithTag = false
    }
  } finally {
    client.close()
  }
}

async function checkImage(client: DistributionClient, image: ImageRecord, ledger: Ledger): Promise<void> {
  const what = `${image.repository}@${image.digest}`
  const answer = await client.request('GET', `/v2/${image.repository}/manifests/${image.digest}`)
  if (!isPresence(answer, image.presence, what, ledger)) return
  image.presence = answer.status === 200 ? 'present' : 'absent'
  if (answer.status !== 200) return
  expectBytes(answer, image.digest, what, ledger)
  for (const { digest } of image.blobs) {
    const blob = await client.request('GET', `/v2/${image.repository}/blobs/${digest}`)
    if (blob.status !== 200) ledger.violation(`${what} is there, and its blob ${digest} was answered ${blob.status}`)
    else expectBytes(blob, digest, `a blob of ${what}`, ledger)
  }
}

async function checkBlob(client: DistributionClient, record: BlobRecord, ledger: Ledger): Promise<void> {
  const { digest } = record.blob
  // One that was never closed is not there, whatever of it has come.
  const what = `the blob ${record.repository}@${digest}`
  const answer = await client.request('GET', `/v2/${record.repository}/blobs/${digest}`)
  if (!isPresence(answer, record.presence, what, ledger)) return
  record.presence = answer.status === 200 ? 'present' : 'absent'
  if (answer.status === 200) expectBytes(answer, digest, what, ledger)
}

function isPresence(answer: ClientResponse, expected: ImageRecord['presence'], what: string, ledger: Ledger): boolean {
  const fits =
    (answer.status === 200 && expected !== 'absent') || (answer.status === 404 && expected !== 'present')
  if (!fits) ledger.violation(`${what} should be ${expected}, and was answered ${answer.status} ${answer.body.toString().slice(0, 200)}`)
  return fits
}

function expectBytes(answer: ClientResponse, digest: string, what: string, ledger: Ledger): void {
  const actual = digestOf(answer.body)
  if (actual !== digest) ledger.violation(`${what}: the bytes of ${digest} have the digest ${actual}`)
}

async function checkTags(client: DistributionClient, repository: string, ledger: Ledger, full: boolean): Promise<void> {
  const histories = ledger.tagsOf(repository)
  const listed = new Set(await listTags(client, repository))
  for (const tag of listed) if (!histories.has(tag)) ledger.violation(`${repository}:${tag} is listed, and nobody ever wrote it`)
  await all([...histories], async ([tag, history]) => {
    if (!history.possible().has(undefined) && !listed.has(tag)) ledger.violation(`${repository}:${tag} was acknowledged and is not listed`)
    if (full || !history.isQuiet) await checkTag(client, repository, tag, history, listed.has(tag), ledger)
  })
}

async function checkTag(
  client: DistributionClient,
  repository: string,
  tag: string,
  history: TagHistory,
  isListed: boolean,
  ledger: Ledger,
): Promise<void> {
  const what = `${repository}:${tag}`
  const answer = await client.request('GET', `/v2/${repository}/manifests/${tag}`)
  const digest = answer.status === 200 ? digestOf(answer.body) : undefined
  if (![200, 404].includes(answer.status)) ledger.violation(`${what} was answered ${answer.status}`)
  if (isListed !== (digest !== undefined)) ledger.violation(`${what} is ${isListed ? '' : 'not '}listed, and was answered ${answer.status}`)
  const possible = history.possible()
  if (!possible.has(digest)) {
    ledger.violation(`${what} points at ${String(digest)}, and should at ${[...possible].map(String).join(' or ')}`)
  }
  history.settle(digest)
  if (digest === undefined) return
  const image = ledger.images.find((known) => known.repository === repository && known.digest === digest)
  if (image?.presence !== 'present') ledger.violation(`${what} points at ${digest}, which is ${String(image?.presence)}`)
}

async function listTags(client: DistributionClient, repository: string): Promise<string[]> {
  const tags: string[] = []
  for (let last = ''; ; last = tags.at(-1)!) {
    const { body } = await client.request('GET', `/v2/${repository}/tags/list?n=1000${last === '' ? '' : `&last=${last}`}`)
    const page = (JSON.parse(body.toString()) as { tags: string[] }).tags
    tags.push(...page)
    if (page.length < 1000) return tags
  }
}

async function all<Item>(items: readonly Item[], check: (item: Item) => Promise<void>): Promise<void> {
  const waiting = items.values()
  await Promise.all(
    Array.from({ length: checkers }, async () => {
      for (const item of waiting) await check(item)
    }),
  )
}
