import { queryBuilder, type Compilable, type DialectName, type QueryBuilder, type Statement } from './statement.ts'

export interface QueryResult {
  readonly rows: unknown[]
  /** Rows inserted, updated or deleted; 0 for a query. */
  readonly affected: number
}

/** One connection's way of running SQL; a dialect implements it, everything else uses `Session`. */
export interface Connection {
  readonly dialect: DialectName
  run(sql: string, values: readonly unknown[], reuse: boolean): Promise<QueryResult>
}

/**
 * Runs statements, outside a transaction (each sees the newest committed state) or inside one: a write command's
 * or a snapshot's. Stores take one and never know which.
 */
export class Session {
  readonly #connection: Connection

  constructor(connection: Connection) {
    this.#connection = connection
  }

  get dialect(): DialectName {
    return this.#connection.dialect
  }

  /** Builds a query whose shape is not known before; run it with `query`. */
  get builder(): QueryBuilder {
    return queryBuilder(this.#connection.dialect)
  }

  async all<Parameters extends object, Row>(statement: Statement<Parameters, Row>, parameters: Parameters): Promise<Row[]> {
    const { sql, values } = statement.bind(this.#connection.dialect, parameters)
    const { rows } = await this.#connection.run(sql, values, true)
    return rows as Row[]
  }

  async first<Parameters extends object, Row>(
    statement: Statement<Parameters, Row>,
    parameters: Parameters,
  ): Promise<Row | undefined> {
    return (await this.all(statement, parameters))[0]
  }

  /** Runs a statement for its effect; returns how many rows it changed. */
  async change<Parameters extends object>(
    statement: Statement<Parameters, unknown>,
    parameters: Parameters,
  ): Promise<number> {
    const { sql, values } = statement.bind(this.#connection.dialect, parameters)
    const { affected } = await this.#connection.run(sql, values, true)
    return affected
  }

  async query<Row>(query: Compilable<Row>): Promise<Row[]> {
    const { sql, parameters } = query.compile()
    const { rows } = await this.#connection.run(sql, parameters, false)
    return rows as Row[]
  }
}
