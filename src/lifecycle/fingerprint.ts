import type { ImageFacts } from './policy/index.ts'

/** What a decision about an image may rest on, and somebody can change. */
export type ChangingFacts = Pick<ImageFacts, 'tags' | 'storageClass' | 'pushedAt' | 'lastActivatedAt' | 'lastPulledAt' | 'lastUsedAt'>

/**
 * What of an image a decision rested on, in 32 bits: its tags, its storage class and the times that its owner or a client can
 * change; of an index those of its parts too. Looked at again just before the image goes, so that one that was tagged, pulled
 * or activated meanwhile stays until the next evaluation. No clock is asked: servers may have different ones.
 */
export function fingerprintOf(image: ChangingFacts): number {
  let hash = mixed(0x811c9dc5, String(image.pushedAt))
  hash = mixed(hash, `${image.storageClass} ${image.lastActivatedAt ?? ''} ${image.lastPulledAt ?? ''} ${image.lastUsedAt ?? ''}`)
  // Tags come in no particular order: their hashes are added.
  let tags = 0
  for (const { name } of image.tags) tags = (tags + mixed(0x811c9dc5, name)) >>> 0
  return mixed(hash, String(tags))
}

/** FNV-1a over the characters' codes. */
function mixed(hash: number, text: string): number {
  let state = hash
  for (let index = 0; index < text.length; index += 1) state = Math.imul(state ^ text.charCodeAt(index), 0x01000193) >>> 0
  return state
}
