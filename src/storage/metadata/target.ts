/** Where the metadata lives: a file, or a PostgreSQL database. */
export type MetadataTarget = { readonly file: string } | { readonly url: string }
