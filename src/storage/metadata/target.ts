/** Where the metadata lives: a file, or a PostgreSQL database. */
export type MetadataTarget = { readonly file: string } | PostgresTarget

export interface PostgresTarget {
  readonly url: string
  /** The schema that the URL's connections use, where it is not the user's own. */
  readonly schema?: string
}
