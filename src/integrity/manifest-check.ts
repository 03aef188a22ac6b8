import type { Session } from '../storage/metadata/session.ts'
import {
  readPayload,
  walkReferences,
  type WalkedManifest,
  type WalkedReference,
} from '../storage/metadata/stores/integrity-walk.ts'
import { digestAlgorithm, digestOf } from '../values/index.ts'
import { remedies, type Finding } from './findings.ts'

/** References of one statement: an index may name ten thousand. */
const referencePageSize = 1000

/** The findings about a page of manifests, in the order of their ids, whose references a walk has not checked yet. */
async function findDangling(session: Session, manifests: readonly WalkedManifest[]): Promise<Finding[]> {
  const [first, last] = [manifests[0], manifests.at(-1)]
  if (!first || !last) return []
  const byId = new Map(manifests.map((manifest) => [manifest.id, manifest]))
  const findings: Finding[] = []
  let after: { manifestId: number; position: number } | undefined = { manifestId: first.id, position: -1 }
  while (after !== undefined) {
    const page = await walkReferences(session, { ...after, lastManifestId: last.id, limit: referencePageSize })
    for (const reference of page.references) {
      const manifest = byId.get(reference.manifestId)
      // What a trashed image names may be gone; a quarantined blob is reported once, not for each image that names it.
      if (manifest?.isLiving !== true || reference.state === 'sound' || reference.state === 'unavailable') continue
      // Nobody is to see what only archived images have.
      if (!manifest.isActive && reference.state === 'invisible') continue
      findings.push(danglingReference(manifest, reference))
    }
    after = page.last
  }
  return findings
}

function danglingReference(manifest: WalkedManifest, { kind, digest, state }: WalkedReference): Finding {
  const what = state === 'invisible' ? 'which the repository was never given' : 'which is not there'
  return {
    kind: 'reference-dangling',
    repository: manifest.repository,
    digest: manifest.digest,
    reference: digest,
    detail: `the manifest names the ${kind} ${digest}, ${what}`,
    remedy: remedies['reference-dangling'],
  }
}

/** Compares a manifest's bytes with its size and digest. Undefined when they are right, or the manifest is gone by now. */
async function checkBytes(session: Session, manifest: WalkedManifest): Promise<Finding | undefined> {
  const bytes = await readPayload(session, manifest.id)
  if (bytes === undefined) return undefined
  const { repository, digest, sizeBytes } = manifest
  if (bytes === null) {
    const detail = 'the bytes of the manifest are not in the database'
    return { kind: 'manifest-missing', repository, digest, detail, remedy: remedies['manifest-missing'] }
  }
  const found = digestOf(bytes, digestAlgorithm(digest))
  if (found === digest && bytes.length === sizeBytes) return undefined
  const detail =
    found === digest
      ? `the manifest has ${bytes.length} bytes, and its row says ${sizeBytes}`
      : `the bytes of the manifest have the digest ${found}`
  return { kind: 'manifest-corrupt', repository, digest, detail, remedy: remedies['manifest-corrupt'] }
}

export const manifestFindings = { ofReferences: findDangling, ofBytes: checkBytes }
