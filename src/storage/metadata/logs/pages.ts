import type { Session } from '../session.ts'

/** More than the lines of one command leave behind, unless they are long. */
const mostPages = 500

/** Gives space that lines have left back to the file system; PostgreSQL uses it for other lines by itself. */
export async function giveBackPages(tx: Session): Promise<void> {
  if (tx.dialect !== 'sqlite') return
  const [free] = (await pragma(tx, 'freelist_count')) as { freelist_count: number }[]
  // A step of this statement gives back one page, and the connection takes one step of what answers no rows.
  for (let left = Math.min(free?.freelist_count ?? 0, mostPages); left > 0; left -= 1) await pragma(tx, 'incremental_vacuum')
}

function pragma(tx: Session, name: string): Promise<unknown[]> {
  return tx.query({ compile: () => ({ sql: `pragma ${name}`, parameters: [] }), execute: () => Promise.resolve([]) })
}
