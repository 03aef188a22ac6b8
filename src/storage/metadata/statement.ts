import {
  DummyDriver,
  Kysely,
  PostgresAdapter,
  PostgresIntrospector,
  PostgresQueryCompiler,
  SqliteAdapter,
  SqliteIntrospector,
  SqliteQueryCompiler,
} from 'kysely'
import type { Schema } from './schema.ts'

export type DialectName = 'sqlite' | 'postgres'

/** A query builder that compiles and never connects: sessions run what it compiles. */
export type QueryBuilder = Kysely<Schema>

const builders: Record<DialectName, QueryBuilder> = {
  sqlite: new Kysely<Schema>({
    dialect: {
      createAdapter: () => new SqliteAdapter(),
      createDriver: () => new DummyDriver(),
      createIntrospector: (db) => new SqliteIntrospector(db),
      createQueryCompiler: () => new SqliteQueryCompiler(),
    },
  }),
  postgres: new Kysely<Schema>({
    dialect: {
      createAdapter: () => new PostgresAdapter(),
      createDriver: () => new DummyDriver(),
      createIntrospector: (db) => new PostgresIntrospector(db),
      createQueryCompiler: () => new PostgresQueryCompiler(),
    },
  }),
}

export function queryBuilder(dialect: DialectName): QueryBuilder {
  return builders[dialect]
}

/** What Kysely's builders have in common: a compiled form, and the type of a row. */
export interface Compilable<Row> {
  compile(): { readonly sql: string; readonly parameters: readonly unknown[] }
  execute(): Promise<Row[]>
}

/** Stands for a parameter while a statement is compiled. */
class ParameterName {
  readonly name: string
  constructor(name: string) {
    this.name = name
  }
}

interface Compiled {
  readonly sql: string
  /** Per position: the name of a parameter, or a constant of the statement. */
  readonly slots: readonly unknown[]
}

/**
 * A query compiled once per dialect and run many times: compiling costs some 30 µs, which a hot path has not got.
 * `build` sees placeholders instead of values, so it must not look at them.
 */
export class Statement<Parameters extends object, Row> {
  readonly #build: (db: QueryBuilder, parameters: Parameters, dialect: DialectName) => Compilable<Row>
  readonly #compiled: Partial<Record<DialectName, Compiled>> = {}

  constructor(build: (db: QueryBuilder, parameters: Parameters, dialect: DialectName) => Compilable<Row>) {
    this.#build = build
  }

  bind(dialect: DialectName, parameters: Parameters): { sql: string; values: unknown[] } {
    const { sql, slots } = (this.#compiled[dialect] ??= this.#compile(dialect))
    const values = slots.map((slot) =>
      slot instanceof ParameterName ? (parameters as Record<string, unknown>)[slot.name] : slot,
    )
    return { sql, values }
  }

  #compile(dialect: DialectName): Compiled {
    const placeholders = new Proxy({}, { get: (_, name) => new ParameterName(String(name)) }) as Parameters
    const { sql, parameters } = this.#build(builders[dialect], placeholders, dialect).compile()
    return { sql, slots: parameters }
  }
}

/** Defines a statement that is compiled at first use; see `Statement`. */
export function statement<Parameters extends object = Record<never, never>>() {
  return <Row>(
    build: (db: QueryBuilder, parameters: Parameters, dialect: DialectName) => Compilable<Row>,
  ): Statement<Parameters, Row> => new Statement(build)
}
