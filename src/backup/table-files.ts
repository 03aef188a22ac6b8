import { createHash, type Hash } from 'node:crypto'
import { createReadStream, createWriteStream } from 'node:fs'
import { open } from 'node:fs/promises'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { StringDecoder } from 'node:string_decoder'
import { createGunzip, createGzip } from 'node:zlib'
import type { Column, RawRow, RawValue } from '../storage/metadata/transfer/index.ts'
import { fileMode } from '../internal/durable-files.ts'
import { backupError } from './errors.ts'
import type { TableFile } from './point.ts'

/*
 * A table as gzipped lines of JSON: the first names the columns, `[["id","integer"],["digest","bytes"]]`, and each other
 * one is a row. Bytes are base64; nothing else needs translating. Any tool can read it: zcat tag.ndjson.gz | jq
 */

/** The database waits while it is written: a quick compression is worth more than a good one. */
const compressionLevel = 1

/** Writes one table, durably but for the folder's entry. */
export async function writeTable(
  folder: string,
  name: string,
  columns: readonly Column[],
  batches: AsyncIterable<readonly RawRow[]>,
): Promise<TableFile> {
  const file = `${name}.ndjson.gz`
  const bytesAt = columns.flatMap(({ kind }, index) => (kind === 'bytes' ? [index] : []))
  let rows = 0
  let sizeBytes = 0
  const hash = createHash('sha256')
  const lines = async function* (): AsyncGenerator<string, void, undefined> {
    yield `${JSON.stringify(columns.map(({ name: column, kind }) => [column, kind]))}\n`
    for await (const batch of batches) {
      rows += batch.length
      yield batch.map((row) => `${JSON.stringify(encoded(row, bytesAt))}\n`).join('')
    }
  }
  const counted = async function* (source: AsyncIterable<Buffer>): AsyncGenerator<Buffer, void, undefined> {
    for await (const chunk of source) {
      hash.update(chunk)
      sizeBytes += chunk.length
      yield chunk
    }
  }
  const path = join(folder, file)
  await pipeline(lines, createGzip({ level: compressionLevel }), counted, createWriteStream(path, { flags: 'wx', mode: fileMode, flush: true }))
  return { file, rows, sizeBytes, sha256: hash.digest('hex') }
}

function encoded(row: RawRow, bytesAt: readonly number[]): RawRow {
  if (bytesAt.length === 0) return row
  const line = [...row]
  for (const index of bytesAt) {
    const value = line[index]
    if (value instanceof Uint8Array) line[index] = Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString('base64')
  }
  return line
}

/** Throws `backup-broken` unless the file is the one that was written. */
export async function checkTable(folder: string, table: TableFile): Promise<void> {
  const hash: Hash = createHash('sha256')
  const path = join(folder, table.file)
  try {
    for await (const chunk of createReadStream(path) as AsyncIterable<Buffer>) hash.update(chunk)
  } catch (error) {
    throw backupError('backup-broken', `${path} cannot be read: ${(error as Error).message}`, { cause: error })
  }
  if (hash.digest('hex') !== table.sha256) throw backupError('backup-broken', `${path} is not what was written: its checksum differs`)
}

const rowsPerBatch = 500
/** Of text: a manifest has up to 4 MiB. */
const batchChars = 1024 * 1024

export interface OpenTable {
  readonly columns: readonly string[]
  readonly batches: AsyncIterable<RawRow[]>
}

/** Reads what `writeTable` wrote; `checkTable` has looked at it before. */
export async function readTable(folder: string, table: TableFile): Promise<OpenTable> {
  const path = join(folder, table.file)
  // Opened here, so that a missing file is this call's failure.
  const handle = await open(path, 'r')
  const compressed = handle.createReadStream()
  const text = createGunzip()
  compressed.on('error', (error) => text.destroy(error)).pipe(text)
  const lines = linesOf(text)
  const first = await lines.next()
  const header = (first.done === true ? [] : JSON.parse(first.value)) as [string, string][]
  const bytesAt = header.flatMap(([, kind], index) => (kind === 'bytes' ? [index] : []))
  const decode = (line: string): RawRow => {
    const row = JSON.parse(line) as RawValue[]
    for (const index of bytesAt) if (typeof row[index] === 'string') row[index] = Buffer.from(row[index], 'base64')
    return row
  }
  const batches = async function* (): AsyncGenerator<RawRow[], void, undefined> {
    let batch: RawRow[] = []
    let chars = 0
    for (let next = await lines.next(); next.done !== true; next = await lines.next()) {
      batch.push(decode(next.value))
      chars += next.value.length
      if (batch.length < rowsPerBatch && chars < batchChars) continue
      yield batch
      batch = []
      chars = 0
    }
    if (batch.length > 0) yield batch
  }
  return { columns: header.map(([name]) => name), batches: batches() }
}

/** Node's readline also ends lines where JSON may have a character of its own, such as U+2028. */
async function* linesOf(source: AsyncIterable<Buffer>): AsyncGenerator<string, void, undefined> {
  const decoder = new StringDecoder('utf8')
  let rest: string[] = []
  for await (const chunk of source) {
    const [head = '', ...tail] = decoder.write(chunk).split('\n')
    rest.push(head)
    for (const part of tail) {
      yield rest.join('')
      rest = [part]
    }
  }
  const last = rest.join('') + decoder.end()
  if (last !== '') yield last
}
