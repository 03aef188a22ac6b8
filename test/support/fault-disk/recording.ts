import type { Operation } from './fault-disk.ts'
import { operations } from './fault-disk.ts'

/** Something that changed a file, made it durable, or was told to a client. Paths are relative to the recorded folder. */
export type DiskEvent =
  | { readonly operation: 'create'; readonly path: string; readonly inode: number }
  | { readonly operation: 'write'; readonly path: string; readonly inode: number; readonly offset: number; readonly data: Buffer }
  | { readonly operation: 'truncate'; readonly path: string; readonly inode: number; readonly sizeBytes: number }
  | { readonly operation: 'fsync'; readonly path: string; readonly inode: number; readonly isDirectory: boolean }
  | { readonly operation: 'link' | 'rename'; readonly path: string; readonly newPath: string }
  | { readonly operation: 'unlink' | 'mkdir' | 'rmdir'; readonly path: string }
  /** The head of an HTTP answer is about to be sent. */
  | { readonly operation: 'answer'; readonly path: ''; readonly status: number; readonly requestId: string }
  /** A call was struck. */
  | { readonly operation: 'fault'; readonly path: string; readonly struck: Operation }

const headerBytes = 32

/** Reads what fault-disk.c wrote: `struct record`s. */
export function readRecording(log: Buffer): DiskEvent[] {
  const events: DiskEvent[] = []
  for (let at = 0; at < log.length; ) {
    const sizeBytes = log.readUInt32LE(at)
    const operation = operations[log.readUInt8(at + 4)]
    const isDirectory = log.readUInt8(at + 5) !== 0
    const pathEnd = at + headerBytes + log.readUInt16LE(at + 6)
    const newPathEnd = pathEnd + log.readUInt16LE(at + 8)
    const inode = Number(log.readBigUInt64LE(at + 16))
    const offset = Number(log.readBigInt64LE(at + 24))
    const path = log.toString('utf8', at + headerBytes, pathEnd)
    const newPath = log.toString('utf8', pathEnd, newPathEnd)
    const data = log.subarray(newPathEnd, at + sizeBytes)
    switch (operation) {
      case 'create':
        events.push({ operation, path, inode })
        break
      case 'write':
        events.push({ operation, path, inode, offset, data })
        break
      case 'truncate':
        events.push({ operation, path, inode, sizeBytes: offset })
        break
      case 'fsync':
        events.push({ operation, path, inode, isDirectory })
        break
      case 'link':
      case 'rename':
        if (isDirectory) throw new Error(`a directory was renamed, which the crash model does not know: ${path}`)
        events.push({ operation, path, newPath })
        break
      case 'unlink':
      case 'mkdir':
      case 'rmdir':
        events.push({ operation, path })
        break
      case 'answer': {
        const head = data.toString('latin1')
        events.push({
          operation,
          path: '',
          status: Number(head.slice(9, 12)),
          requestId: /^x-request-id: (.*)\r$/im.exec(head)?.[1] ?? '',
        })
        break
      }
      case 'fault':
        events.push({ operation, path, struck: operations[offset] ?? 'open' })
        break
      default:
        throw new Error(`the recording has an operation it cannot have: ${operation}`)
    }
    at += sizeBytes
  }
  return events
}
