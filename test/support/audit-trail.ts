import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { setTimeout as sleep } from 'node:timers/promises'
import type { RequestBody, TrailBody } from '../../src/audit/trail-record.ts'
import { verifyTrail } from '../../src/audit/verify-trail.ts'
import { readChain } from '../../src/storage/metadata/observe/audit-store.ts'
import type { Session } from '../../src/storage/metadata/session.ts'

const maxAttempts = 400

/** The record of a request in the audit trail of a server on SQLite, which is sealed a moment after the answer. */
export async function trailBodyOf(dataDir: string, requestId: string | undefined): Promise<RequestBody> {
  if (requestId === undefined) throw new Error('an answer without the id of its request')
  const database = new DatabaseSync(join(dataDir, 'observe.db'), { readOnly: true })
  try {
    const select = database.prepare('select body from audit_event where event_id = ?')
    for (let attempt = 0; attempt < maxAttempts; attempt += 1) {
      const row = select.get(Buffer.from(requestId.replaceAll('-', ''), 'hex'))
      if (row !== undefined) return JSON.parse(String(row['body'])) as RequestBody
      await sleep(25)
    }
    throw new Error(`the audit trail has no record of the request ${requestId}`)
  } finally {
    database.close()
  }
}

/**
 * All records of a trail, in their order.
 * @throws where the chain is not whole
 */
export async function readWholeTrail(session: Session): Promise<TrailBody[]> {
  const bodies: TrailBody[] = []
  for (let after = 0; ; ) {
    const page = await readChain(session, after, 500)
    bodies.push(...page.map(({ body }) => JSON.parse(body) as TrailBody))
    if (page.length < 500) break
    after = page.at(-1)!.seq
  }
  const { records, findings } = await verifyTrail(session)
  if (findings.length > 0 || records !== bodies.length) throw new Error(`of ${bodies.length} records ${records} are in the chain: ${JSON.stringify(findings)}`)
  return bodies
}
