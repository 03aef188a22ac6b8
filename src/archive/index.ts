export { endAllMoves } from './commands/placements.ts'
export { Archivist, type ArchiveCounters, type ArchivistDependencies } from './archivist.ts'
