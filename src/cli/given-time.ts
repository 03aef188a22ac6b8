import { InvalidArgumentError } from 'commander'

const form =
  /^(?<day>\d{4}-\d\d-\d\d)(?:T(?:[01]\d|2[0-3]):[0-5]\d(?::[0-5]\d(?:\.\d{1,9})?)?(?:Z|[+-](?:[01]\d|2[0-3]):[0-5]\d))?$/u

/**
 * A time that a command's user has written: a day, which is its beginning in UTC, or a day and an hour with `Z` or an offset. One
 * without its zone would be another time on another machine.
 *
 * @throws InvalidArgumentError which says what form is wanted, also of a day that no month has
 */
export function parseGivenTime(text: string): Date {
  const day = form.exec(text)?.groups?.['day']
  if (day === undefined) {
    throw new InvalidArgumentError('Write a day such as 2027-01-31, which begins in UTC, or a time with its zone, such as 2027-01-31T12:00:00Z or 2027-01-31T13:00:00+01:00.')
  }
  const begin = new Date(day)
  // Date moves the 30th of February to March.
  if (Number.isNaN(begin.getTime()) || begin.toISOString().slice(0, day.length) !== day) {
    throw new InvalidArgumentError(`There is no day ${day}. Write one that there is, such as 2027-01-31 or 2027-01-31T12:00:00Z.`)
  }
  return new Date(text)
}
