import type { MetadataDatabase } from './database.ts'

/** The metadata for someone who only reads, beside whoever serves it. */
export interface MetadataReader extends Pick<MetadataDatabase, 'dialect' | 'reader' | 'snapshot' | 'close'> {
  /**
   * What contradicts itself in the database file, in SQLite's words: its pages, or also that its indexes have every row.
   * Reads the whole file, and nothing else runs in this thread meanwhile. PostgreSQL looks after its own: nothing.
   */
  checkFile(depth: 'pages' | 'indexes'): Promise<string[]>
}
