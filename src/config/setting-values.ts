import { resolve } from 'node:path'
import { z } from 'zod'

/*
 * What values of settings are like, whatever they set.
 */

/** A setting whose text `parse` understands; of others the message says what to write instead. */
export function parsed<T>(parse: (text: string) => T | undefined, message: string): z.ZodType<T, string> {
  return z.string().transform((text, context) => {
    const value = parse(text)
    if (value !== undefined) return value
    context.addIssue({ code: 'custom', message })
    return z.NEVER
  })
}

/** As `parsed`, for the parsers of src/values, which throw. */
export function valueOf<T>(parse: (text: string) => T, message: string): z.ZodType<T, string> {
  return parsed((text) => {
    try {
      return parse(text)
    } catch {
      return undefined
    }
  }, message)
}

export function wholeNumber(min: number, max: number, unit: string): z.ZodType<number, string> {
  const message = `write a whole number of ${unit} from ${min} to ${max}`
  return parsed((text) => {
    const value = /^\d{1,15}$/u.test(text) ? Number(text) : Number.NaN
    return value >= min && value <= max ? value : undefined
  }, message)
}

export const flag = parsed((text) => {
  if (['true', '1', 'yes', 'on'].includes(text.toLowerCase())) return true
  if (['false', '0', 'no', 'off'].includes(text.toLowerCase())) return false
  return undefined
}, 'write true or false')

export const path = z.string().transform((text) => resolve(text))
