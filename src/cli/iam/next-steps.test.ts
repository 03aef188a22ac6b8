import { describe, expect, it } from 'vitest'
import { nextSteps, type NextStepFacts } from './next-steps.ts'

const factsOf = (set: string): NextStepFacts =>
  ({
    target: { set, form: 'user', name: 'one', accountId: '000000000000', workload: undefined },
    accessKey: undefined,
    endpoint: 'https://registry.example.com',
    region: 'us-east-1',
    repositoryPrefix: 'team/',
  }) as unknown as NextStepFacts

describe('the next steps', () => {
  it('tell a pusher that the repository has to be there first, and nobody else', () => {
    const steps = nextSteps(factsOf('ci-pusher')).split('\n')

    const hint = steps.findIndex((line) => line.includes('aws ecr create-repository --repository-name team/app'))
    expect(hint).toBeGreaterThan(-1)
    expect(steps[hint]).toMatch(/^# /)
    expect(steps.indexOf('docker push registry.example.com/team/app:TAG')).toBeGreaterThan(hint)
    for (const set of ['puller', 'deployer', 'auditor']) expect(nextSteps(factsOf(set))).not.toContain('create-repository')
  })
})
