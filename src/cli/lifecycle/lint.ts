import { exitCodes } from '../../config/exit-codes.ts'
import { lintPolicy, type LintReport, type PolicyGrammar } from '../../lifecycle/policy/index.ts'
import type { CommandIo } from '../command-io.ts'
import { readGivenFileOrInput } from '../given-file.ts'

export interface LintOptions {
  readonly grammar: PolicyGrammar | undefined
  readonly strict: boolean
  readonly json: boolean
}

/** `stowage lifecycle lint`. */
export async function lintCommand(io: CommandIo, file: string, { grammar, strict, json }: LintOptions): Promise<number> {
  // As it is: whoever puts it sends every character of the file.
  const report = lintPolicy(await readGivenFileOrInput(file), { grammar, strict })
  io.stdout.write(json ? `${JSON.stringify(report)}\n` : reportText(report))
  return report.findings.some(({ severity }) => severity === 'error') ? exitCodes.failed.code : exitCodes.ok.code
}

const grammarWords = { ecr: "a lifecycle policy in ECR's grammar", retention: 'a retention policy' } as const

function reportText({ grammar, rules, findings }: LintReport): string {
  const lines: string[] = []
  if (rules.length > 0) {
    lines.push(`This is ${grammarWords[grammar]}.`, '')
    for (const { name, text: meaning } of rules) lines.push(`  ${name}: ${meaning}`)
    lines.push('', ...(grammar === 'ecr' ? ecrOrder : retentionOrder), '')
  }
  for (const { severity, code, rule, text: finding } of findings) lines.push(`${severity}: ${rule === undefined ? '' : `${rule}: `}${finding} [${code}]`)
  if (findings.length === 0) lines.push('Nothing in it is easily misread.')
  return `${lines.join('\n')}\n`
}

const ecrOrder = ['Each image belongs to the first rule that is about it; later ones only count it.']
const retentionOrder = ['What one rule keeps stays, whatever others say. Deletion goes before the archive.']
