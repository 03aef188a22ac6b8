import { createHash } from 'node:crypto'
import { gzipSync } from 'node:zlib'
import { cloudTrailRecord, type TrailBody } from '../trail-record.ts'
import { readHead } from '../../storage/metadata/observe/audit-store.ts'
import { readRecords } from '../../storage/metadata/observe/cursor-store.ts'
import type { Session } from '../../storage/metadata/session.ts'
import type { RecordRow } from './outlet.ts'

/** A file of records as CloudTrail delivers them. https://docs.aws.amazon.com/awscloudtrail/latest/userguide/cloudtrail-log-file-examples.html */
export interface TrailFile {
  /** Folders and name, with slashes, from where exports are put. */
  readonly path: string
  readonly bytes: Buffer
  readonly records: number
}

const uniqueLength = 16

/**
 * The files of some records: one for each account and region. Paths and bytes follow from the records alone, so that whoever
 * writes the same again overwrites it.
 */
export function trailFiles(rows: readonly RecordRow[]): TrailFile[] {
  const read = rows.map((row) => ({ row, body: JSON.parse(row.body) as TrailBody }))
  return [...Map.groupBy(read, ({ body: { account, region } }) => `${account}/${region}`).values()].map((records) => {
    const first = records[0]!
    const last = records.at(-1)!
    const { account, region } = first.body
    // 2027-03-01T12:34
    const time = new Date(first.row.at).toISOString()
    const unique = createHash('sha256').update(`${account}/${region} ${first.row.seq}-${last.row.seq} ${records.length} `).update(last.row.hash).digest('hex').slice(0, uniqueLength)
    const folder = `AWSLogs/${account}/CloudTrail/${region}/${time.slice(0, 10).replaceAll('-', '/')}`
    const name = `${account}_CloudTrail_${region}_${time.slice(0, 16).replaceAll(/[-:]/gu, '')}Z_${unique}.json.gz`
    return { path: `${folder}/${name}`, records: records.length, bytes: gzipSync(JSON.stringify({ Records: records.map(({ body }) => cloudTrailRecord(body)) })) }
  })
}

/** Records that are read at a time: those of one file lie between the same numbers, however often it is made. */
const blockSize = 5_000

/** The files of all records that came in a time, the first included. Reads all of the trail. */
export async function* filesOfTime(session: Session, { from, to }: { readonly from: number; readonly to: number }): AsyncGenerator<TrailFile> {
  const head = await readHead(session)
  for (let block = Math.floor(head.cutSeq / blockSize); block * blockSize < head.seq; block += 1) {
    const rows = await readRecords(session, { after: block * blockSize, until: Math.min(head.seq, (block + 1) * blockSize), limit: blockSize })
    yield* trailFiles(rows.filter(({ at }) => at >= from && at < to))
  }
}
