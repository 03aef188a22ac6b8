import { quoted } from '../../values/errors.ts'
import { distributionError } from './errors.ts'

export interface Chunk {
  /** Where the chunk's first byte goes. */
  readonly offset: number
  readonly lengthBytes: number
}

/**
 * The `Content-Range` of an upload's chunk: `<first>-<last>`, inclusive on both ends. Some clients write the form that
 * HTTP has for answers (`bytes <first>-<last>/<size>`), which says the same and is taken as well.
 *
 * @throws `header-invalid`
 */
export function parseContentRange(header: string | undefined): Chunk | undefined {
  if (header === undefined) return undefined
  const match = /^(?:bytes[ =])?([0-9]{1,16})-([0-9]{1,16})(?:\/(?:[0-9]{1,16}|\*))?$/.exec(header.trim())
  const first = Number(match?.[1])
  const last = Number(match?.[2])
  // The length, one more than the last position, has to be exact as well.
  if (match === null || !Number.isSafeInteger(last + 1) || last < first) {
    throw distributionError('header-invalid', 'The Content-Range of a chunk has to be <first byte>-<last byte>.', {
      contentRange: quoted(header),
    })
  }
  return { offset: first, lengthBytes: last - first + 1 }
}
