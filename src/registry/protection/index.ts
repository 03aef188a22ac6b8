export { findRepositoryVetoes, findVetoes, openVetoes, vetoText, type OpenVetoes, type RemovalMode, type Veto } from './vetoes.ts'
export { registryHolds, type RegistryHold } from './holds.ts'
export { type HoldCause } from './hold-words.ts'
