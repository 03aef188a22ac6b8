import { findStructuralProblem } from '../../values/index.ts'

export type JsonRecord = Readonly<Record<string, unknown>>

export function isRecord(value: unknown): value is JsonRecord {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/**
 * The value of a JSON text; undefined where it is none, or could be read in two ways: what deletes images has one meaning.
 */
export function readJson(text: string): { readonly value: unknown } | undefined {
  if (findStructuralProblem(text) !== undefined) return undefined
  try {
    return { value: JSON.parse(text) as unknown }
  } catch {
    return undefined
  }
}
