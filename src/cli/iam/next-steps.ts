import { exportLine, shellWord } from '../command-line.ts'
import type { QuickstartTarget } from './quickstart-plan.ts'
import type { Workload } from './workloads.ts'

export interface NextStepFacts {
  readonly target: QuickstartTarget
  readonly accessKey: { readonly accessKeyId: string; readonly secretAccessKey: string } | undefined
  readonly endpoint: string
  readonly region: string
  readonly repositoryPrefix: string
}

/** Lines to paste where the principal works: a shell, a workflow, a cluster. */
export function nextSteps(facts: NextStepFacts): string {
  const { target, endpoint } = facts
  const { workload } = target
  const roleArn = `arn:aws:iam::${target.accountId}:role/${target.name}`
  const host = new URL(endpoint).host
  if (workload !== undefined) {
    return [...repositoryFirst(facts), workloadSteps[workload.kind]({ ...facts, workload, roleArn, host })].join('\n')
  }
  const variables = { AWS_ENDPOINT_URL: endpoint, AWS_REGION: facts.region, AWS_DEFAULT_REGION: facts.region }
  if (target.form === 'role') {
    return [
      exportLine(variables),
      `aws sts assume-role --role-session-name me --role-arn ${shellWord(roleArn)}`,
      '# with what it prints: export AWS_ACCESS_KEY_ID=… AWS_SECRET_ACCESS_KEY=… AWS_SESSION_TOKEN=…',
      ...firstUse(facts, host),
    ].join('\n')
  }
  const { accessKey } = facts
  const keys =
    accessKey === undefined
      ? '# with an access key of the user (aws iam create-access-key makes one): export AWS_ACCESS_KEY_ID=… AWS_SECRET_ACCESS_KEY=…'
      : exportLine({ AWS_ACCESS_KEY_ID: accessKey.accessKeyId, AWS_SECRET_ACCESS_KEY: accessKey.secretAccessKey })
  return [exportLine(variables), keys, ...firstUse(facts, host)].join('\n')
}

/** A pusher may not make repositories: the first push into one that is not there is refused. */
function repositoryFirst(facts: NextStepFacts): string[] {
  if (facts.target.set !== 'ci-pusher') return []
  return [
    '# The repository has to be there before the first push, or a creation template for pushes (docs/operations/registry-settings.md):',
    `# an administrator runs: aws ecr create-repository --repository-name ${exampleRepository(facts)}`,
  ]
}

function exampleRepository({ repositoryPrefix }: NextStepFacts): string {
  return `${repositoryPrefix}${repositoryPrefix === '' || repositoryPrefix.endsWith('/') ? 'app' : ''}`
}

function firstUse(facts: NextStepFacts, host: string): string[] {
  const { set } = facts.target
  const image = `${host}/${exampleRepository(facts)}:TAG`
  const login = `aws ecr get-login-password | docker login --username AWS --password-stdin ${host}`
  switch (set) {
    case 'ci-pusher':
      return [...repositoryFirst(facts), login, `docker push ${image}`]
    case 'puller':
      return [login, `docker pull ${image}`]
    case 'deployer':
      return ['aws ecr describe-repositories', login, `docker pull ${image}`]
    case 'auditor':
      return ['aws ecr describe-repositories', 'stowage iam stale']
    case 'usage-reporter':
      return ['kubectl get pods --all-namespaces --output json | stowage usage report SOURCE --from -']
  }
}

type WorkloadFacts = NextStepFacts & { readonly workload: Workload; readonly roleArn: string; readonly host: string }

const workloadSteps: Readonly<Record<Workload['kind'], (facts: WorkloadFacts) => string>> = {
  github: ({ workload, roleArn, host, endpoint, region }) => `# .github/workflows/….yml
permissions:
  id-token: write
  contents: read
env:
  AWS_ENDPOINT_URL: ${endpoint}
steps:
  - uses: aws-actions/configure-aws-credentials@v5
    with:
      role-to-assume: ${roleArn}
      aws-region: ${region}
      audience: ${workload.audience}
  - run: aws ecr get-login-password | docker login --username AWS --password-stdin ${host}`,

  gitlab: ({ workload, roleArn, host, endpoint, region }) => `# .gitlab-ci.yml
build:
  id_tokens:
    STOWAGE_TOKEN: { aud: ${workload.audience} }
  variables:
    AWS_ENDPOINT_URL: ${endpoint}
    AWS_REGION: ${region}
    AWS_DEFAULT_REGION: ${region}
    AWS_ROLE_ARN: ${roleArn}
    AWS_WEB_IDENTITY_TOKEN_FILE: /tmp/stowage-token
  script:
    - (umask 077; echo "$STOWAGE_TOKEN" > "$AWS_WEB_IDENTITY_TOKEN_FILE")
    - aws ecr get-login-password | docker login --username AWS --password-stdin ${host}`,

  kubernetes: ({ workload, roleArn }) => {
    const [namespace = '', account = ''] = workload.text.split('/')
    return `kubectl annotate serviceaccount ${account} --namespace ${namespace} stowage/role-arn=${roleArn}
# kubelets then pull as this role (docs/operations/kubernetes.md); a pod's own programs need AWS_ROLE_ARN and a projected
# token with audience ${workload.audience} in AWS_WEB_IDENTITY_TOKEN_FILE.`
  },
}
