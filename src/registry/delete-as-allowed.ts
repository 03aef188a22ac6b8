import { isPlatformError } from '../internal/platform-error.ts'

/** A deletion that lost this many races against pushes of the same image may be told so: its client tries again later. */
const maxAttempts = 5

/**
 * Runs a deletion of images by their digests, whose caller was asked about the tags that these had. Where tags were set or
 * moved since, nothing was deleted: the caller is asked anew, and the deletion runs again.
 *
 * @throws what `remove` and `requireRightsAnew` throw; `tags-changed` where the tags change faster than anybody can be asked
 */
export async function deletingAsAllowed<Result>(
  remove: () => Promise<Result>,
  requireRightsAnew: () => Promise<void>,
): Promise<Result> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await remove()
    } catch (error) {
      if (!isPlatformError(error, 'tags-changed') || attempt === maxAttempts) throw error
    }
    await requireRightsAnew()
  }
}
