import type { Logger } from 'pino'
import type { LayerUrlClaims } from '../../iam/index.ts'
import type { Clock } from '../../internal/clock.ts'
import type { FairShare, TransferShare } from '../../internal/fair-share.ts'
import type { IdSource } from '../../internal/ids.ts'
import type { EdgeHandler, RequestMeta } from '../request-meta.ts'
import { sendBlob, type OpenedBlob } from './blobs.ts'
import { distributionError } from './errors.ts'
import { answerFailure } from './failure.ts'

const layerDownloadPrefix = '/_stowage/layers/'

export interface LayerDownloadOptions {
  readonly clock: Clock
  readonly ids: IdSource
  readonly logger: Logger
  /** Of the accounts that download, chunk by chunk. */
  readonly downloadTurns: Pick<FairShare, 'run'>
  /** Throws `token-invalid`; `token-expired` also where the key that the link was asked for with is gone. */
  readonly verifyLayerUrl: (token: string, nowMs: number) => Promise<LayerUrlClaims>
  /**
   * Opens the blob that a link names, if the repository still has it. Throws `blob-unknown`, `blob-missing`. The caller
   * closes what it gets.
   */
  readonly openLayer: (claims: LayerUrlClaims, meta: RequestMeta) => Promise<OpenedBlob>
}

/**
 * `GET /_stowage/layers/<token>`: the download links of ECR's GetDownloadUrlForLayer. The token is the permission, so
 * no other credentials are looked at; a blob that left its repository is gone for its links, too, and with an access key or
 * session end the links that were asked for with it.
 */
export function createLayerDownloadHandler(options: LayerDownloadOptions): EdgeHandler {
  const { clock, ids, logger } = options

  return async (request, response, meta) => {
    const exchange = { request, response }
    meta.protocol = 'ecr'
    meta.operation = 'downloadLayer'
    try {
      const claims = await options.verifyLayerUrl(tokenOf(request.url ?? ''), clock.now())
      const { accountId } = claims
      meta.parameters = { layerDigest: claims.digest }
      meta.registry = { accountId, region: undefined }
      // The link was asked for with it.
      meta.claimedKeyId = claims.accessKeyId
      const share: TransferShare = { accountId, turn: (work) => options.downloadTurns.run(accountId, work) }
      await sendBlob(exchange, await options.openLayer(claims, meta), ids, share)
    } catch (error) {
      await answerFailure(exchange, error, { meta, realm: undefined }, logger)
    }
  }
}

function tokenOf(url: string): string {
  const mark = url.indexOf('?')
  const path = mark === -1 ? url : url.slice(0, mark)
  if (!path.startsWith(layerDownloadPrefix)) {
    throw distributionError('endpoint-unknown', 'The path is not that of a download link.')
  }
  return path.slice(layerDownloadPrefix.length)
}
