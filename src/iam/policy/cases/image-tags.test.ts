import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { evaluate } from '../evaluate.ts'
import { parsePolicy } from '../policy.ts'
import { outcomeOf, repositoryArn, requestOf } from '../policy.test-support.ts'

/** The example of the page that explains the key. */
function documentedPolicy() {
  const page = readFileSync(new URL('../../../../docs/internals/policy-evaluation.md', import.meta.url), 'utf8')
  const document = /```json\n(?<json>\{.*?)```/s.exec(page)?.groups?.['json'] ?? ''
  return parsePolicy(document, 'identity')
}

const cases: readonly [rule: string, action: string, tags: readonly string[], outcome: string][] = [
  ['a tag that is allowed is pushed', 'ecr:PutImage', ['dev-1'], 'allowed'],
  ['several tags that are allowed are pushed', 'ecr:PutImage', ['dev-1', 'dev-latest'], 'allowed'],
  ['another tag is not', 'ecr:PutImage', ['latest'], 'identity: implicit-deny'],
  ['one tag that is not allowed spoils the others', 'ecr:PutImage', ['dev-1', 'latest'], 'identity: implicit-deny'],
  ['a protected tag is denied', 'ecr:PutImage', ['prod-1'], 'identity: explicit-deny'],
  ['a protected tag among others is denied', 'ecr:PutImage', ['dev-1', 'prod-1'], 'identity: explicit-deny'],
  ['a protected tag is not removed', 'ecr:BatchDeleteImage', ['prod-1'], 'identity: explicit-deny'],
  ['a push without a tag is allowed', 'ecr:PutImage', [], 'allowed'],
]

describe('the documented policy on stowage:ImageTag', () => {
  it.each(cases)('%s', (_, action, tags, outcome) => {
    const request = requestOf({ action, resource: repositoryArn, context: { 'stowage:ImageTag': tags } })
    expect(outcomeOf(evaluate(request, { identity: [documentedPolicy()] }))).toBe(outcome)
  })
})
