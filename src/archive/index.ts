export { claimArchiveFolder } from './folder-owner.ts'
export { endAllMoves } from './commands/placements.ts'
export { Archivist, type ArchiveCounters, type ArchivistDependencies } from './archivist.ts'
