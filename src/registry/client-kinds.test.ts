import { expect, it } from 'vitest'
import { parseClientKindRules } from '../config/client-kinds.ts'
import { clientKinds } from '../values/client-kind.ts'
import { ClientKinds } from './client-kinds.ts'

const user = 'arn:aws:iam::123456789012:user/team/alice'
const dockerAgent = 'docker/28.3.0 go/go1.24 git-commit/abc kernel/6.1 os/linux arch/amd64 UpstreamClient(Docker-Client/28.3.0 \\(linux\\))'

function kindOf(declared: string, { arn = user, userAgent = dockerAgent, sourceIp = '192.0.2.7' }): string {
  return new ClientKinds(parseClientKindRules(declared)!, new Set(['person'])).kindOf({ arn, userAgent, sourceIp })
}

it.each([
  [dockerAgent, 'person'],
  ['', 'person'],
  ['something/1.0', 'person'],
  ['containerd/v2.1.0', 'workload'],
  ['containerd/v1.7.27-k3s1', 'workload'],
  ['cri-o/1.33.0 go/go1.24 os/linux arch/amd64', 'workload'],
  ['kubelet/v1.34', 'workload'],
  ['trivy/0.65.0', 'scanner'],
  ['grype/0.97', 'scanner'],
  ['harbor-registry-client', 'replication'],
  ['regclient/regsync (v0.9.0)', 'replication'],
  ['gitlab-runner 18.2.0 linux/amd64', 'ci'],
  ['buildkit/v0.23', 'ci'],
  ['Buildah/1.41.0', 'ci'],
  ['aws-sdk-js/3.1 ua/2.1 os/linux exec-env/GitHubActions lang/js', 'ci'],
])('takes %j for a %s without being told', (userAgent, kind) => {
  expect(kindOf('', { userAgent })).toBe(kind)
})

it('knows docker on a runner by the session it has there', () => {
  expect(kindOf('', { arn: 'arn:aws:sts::123456789012:assumed-role/deploy/GitHubActions' })).toBe('ci')
  expect(kindOf('', { arn: 'arn:aws:sts::123456789012:assumed-role/deploy/GitLabRunner-7-99' })).toBe('ci')
  expect(kindOf('', { arn: 'arn:aws:sts::123456789012:assumed-role/deploy/alice' })).toBe('person')
})

it('asks the declared rules first, in their order, each with all its conditions', () => {
  const rules = 'scanner=principal:role/scan-*,workload=agent:docker/*&network:192.0.2.0/24,ci=network:2001:db8::/32,replication=principal:arn:aws:iam::*:user/team/alice'
  expect(kindOf(rules, { arn: 'arn:aws:sts::123456789012:assumed-role/scan-all/x', userAgent: 'containerd/2' })).toBe('scanner')
  expect(kindOf(rules, {})).toBe('workload')
  expect(kindOf(rules, { userAgent: 'DOCKER/29' })).toBe('workload')
  expect(kindOf(rules, { sourceIp: '2001:db8::7', userAgent: 'trivy/1' })).toBe('ci')
  expect(kindOf(rules, { sourceIp: '203.0.113.7', userAgent: 'trivy/1' })).toBe('replication')
  expect(kindOf(rules, { sourceIp: '203.0.113.7', arn: 'arn:aws:iam::123456789012:user/bob' })).toBe('person')
})

it.each(['ci', 'ci=', 'robot=agent:x', 'ci=agent:', 'ci=colour:red', 'ci=network:10.0.0.0/33', 'ci=network:host', 'ci=agent:a&agent:b', 'ci=agent:a,,person', 'ci=kind:ci'])('refuses %j', (text) => {
  expect(parseClientKindRules(text)).toBeUndefined()
})

it('tells whose pulls are use', () => {
  const kinds = new ClientKinds([], new Set(['workload']))
  expect(kinds.isUse({ arn: user, userAgent: 'containerd/2', sourceIp: '192.0.2.7' })).toBe(true)
  expect(kinds.isUse({ arn: user, userAgent: dockerAgent, sourceIp: '192.0.2.7' })).toBe(false)
  expect(clientKinds).toHaveLength(5)
})
