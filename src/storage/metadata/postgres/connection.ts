import type pg from 'pg'
import type { Connection, QueryResult } from '../session.ts'

/** A connection, or a pool that lends one for a single statement. */
export interface QueryRunner {
  query(query: pg.QueryConfig): Promise<pg.QueryResult>
}

export class PostgresConnection implements Connection {
  readonly dialect = 'postgres'
  readonly #runner: QueryRunner
  /** Names of prepared statements by their text, the same on every connection. */
  readonly #names: Map<string, string>
  readonly #onStatement: () => void

  constructor(runner: QueryRunner, names: Map<string, string>, onStatement: () => void) {
    this.#runner = runner
    this.#names = names
    this.#onStatement = onStatement
  }

  async run(sql: string, values: readonly unknown[], reuse: boolean): Promise<QueryResult> {
    this.#onStatement()
    const config: pg.QueryConfig = { text: sql, values: [...values] }
    if (reuse) {
      let name = this.#names.get(sql)
      if (name === undefined) this.#names.set(sql, (name = `s${this.#names.size}`))
      config.name = name
    }
    const { rows, rowCount } = await this.#runner.query(config)
    return { rows: rows as unknown[], affected: rowCount ?? 0 }
  }
}

/**
 * Runs `body` between `begin` and COMMIT on a connection of its own, or rolls back and throws what it threw: a driver's
 * error as it came. The pool gets the connection back once, and closes it when it can no longer be used.
 */
export async function inTransaction<Result>(
  pool: pg.Pool,
  begin: string,
  body: (client: pg.PoolClient) => Promise<Result>,
): Promise<Result> {
  const client = await pool.connect()
  let isLost = false
  // The pool listens to idle connections only: without this, a server that goes away would end the process.
  // The statement that runs, or the next one, fails as well, so nothing else is to be done about it.
  const onError = (): void => {
    isLost = true
  }
  client.on('error', onError)
  try {
    await client.query(begin)
    const result = await body(client)
    await client.query('commit')
    return result
  } catch (error) {
    try {
      await client.query('rollback')
    } catch {
      // Who knows what state it is in; the server rolls back when it is closed.
      isLost = true
    }
    throw error
  } finally {
    // In this order somebody always listens.
    client.release(isLost)
    client.off('error', onError)
  }
}
