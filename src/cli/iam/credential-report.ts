/** An access key as a credential report has it. Times are ISO 8601. */
export interface ReportedKey {
  readonly user: string
  readonly arn: string
  readonly active: boolean
  /** When it was made. */
  readonly rotatedAt: string
  /** Undefined for one that was never used. */
  readonly lastUsedAt: string | undefined
}

/** How many access keys of a user a report tells of. */
const keysOfUser = [1, 2] as const

/**
 * Reads the access keys from a report in CSV.
 * https://docs.aws.amazon.com/IAM/latest/UserGuide/id_credentials_getting-report.html#id_credentials_understanding_the_report_format
 */
export function parseCredentialReport(csv: string): ReportedKey[] {
  const [header = [], ...rows] = parseCsv(csv)
  return rows.flatMap((row) => {
    const value = (column: string): string => row[header.indexOf(column)] ?? ''
    return keysOfUser.flatMap((number) => {
      const rotatedAt = timeOf(value(`access_key_${number}_last_rotated`))
      if (rotatedAt === undefined) return []
      return [
        {
          user: value('user'),
          arn: value('arn'),
          active: value(`access_key_${number}_active`).toLowerCase() === 'true',
          rotatedAt,
          lastUsedAt: timeOf(value(`access_key_${number}_last_used_date`)),
        },
      ]
    })
  })
}

/** `N/A` and `no_information` are no times. */
function timeOf(text: string): string | undefined {
  const ms = Date.parse(text)
  return Number.isNaN(ms) ? undefined : new Date(ms).toISOString()
}

/** RFC 4180; names of users may have commas. */
function parseCsv(text: string): string[][] {
  const rows: string[][] = []
  for (const line of text.split(/\r?\n/u)) {
    if (line === '') continue
    const cells = [...line.matchAll(/(?:^|,)(?:"((?:[^"]|"")*)"|([^,]*))/gu)]
    rows.push(cells.map(([, quoted, plain]) => quoted?.replaceAll('""', '"') ?? plain ?? ''))
  }
  return rows
}
