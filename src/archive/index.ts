export { Archivist, type ArchiveCounters, type ArchivistDependencies } from './archivist.ts'
