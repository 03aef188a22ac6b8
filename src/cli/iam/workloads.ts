import { awsClientError } from '../aws/errors.ts'

/** Somebody who has no secret: a workload that an identity provider gives tokens to, and what the tokens say of it. */
export interface Workload {
  readonly kind: 'github' | 'gitlab' | 'kubernetes'
  /** As it was written, such as `owner/repo@main`. */
  readonly text: string
  /** Of its provider, without a slash at the end. */
  readonly issuer: string
  readonly audience: string
  /** The tokens' `sub`; `*` stands for anything where it has one. */
  readonly subject: string
  /** In words, for a plan. */
  readonly description: string
  /** For names: what it is about, such as `owner-repo`. */
  readonly slug: string
}

export interface WorkloadOptions {
  readonly issuer?: string | undefined
  readonly audience?: string | undefined
}

/** What AWS's own actions and agents ask their providers for. */
const defaultAudience = 'sts.amazonaws.com'

const githubIssuer = 'https://token.actions.githubusercontent.com'
const gitlabIssuer = 'https://gitlab.com'

/**
 * `owner/repo`, `owner/repo@branch`, `owner/repo@tag:v*` or `owner/repo@environment:production`.
 * https://docs.github.com/en/actions/reference/security/oidc
 */
export function githubWorkload(text: string, options: WorkloadOptions): Workload {
  const [, repository, qualifier] = /^([\w.-]+\/[\w.-]+)(?:@([^\s:$]+|(?:branch|tag|environment):[^\s:$][^:$]*))?$/u.exec(text) ?? []
  if (repository === undefined) throw malformed('--github', text, 'owner/repo, owner/repo@main, owner/repo@tag:v* or owner/repo@environment:production')
  const [what, name] = splitQualifier(qualifier)
  const context = { any: '*', branch: `ref:refs/heads/${name}`, tag: `ref:refs/tags/${name}`, environment: `environment:${name}` }[what]
  return {
    kind: 'github',
    text,
    ...providerOf(options, githubIssuer),
    subject: `repo:${repository}:${context}`,
    description: `GitHub Actions of ${repository}, ${what === 'any' ? 'on any branch, tag and pull request' : `${what} ${name}`}`,
    slug: slugOf(repository),
  }
}

/**
 * `group/project`, `group/project@branch` or `group/project@tag:v*`.
 * https://docs.gitlab.com/ci/secrets/id_token_authentication/#token-payload
 */
export function gitlabWorkload(text: string, options: WorkloadOptions): Workload {
  const [, project, qualifier] = /^([\w.-]+(?:\/[\w.-]+)+)(?:@([^\s:$]+|(?:branch|tag):[^\s:$]+))?$/u.exec(text) ?? []
  if (project === undefined) throw malformed('--gitlab', text, 'group/project, group/project@main or group/project@tag:v*')
  const [what, name] = splitQualifier(qualifier)
  return {
    kind: 'gitlab',
    text,
    ...providerOf(options, gitlabIssuer),
    subject: `project_path:${project}:${what === 'any' ? '*' : `ref_type:${what}:ref:${name}`}`,
    description: `GitLab jobs of ${project}, ${what === 'any' ? 'on any branch and tag' : `${what} ${name}`}`,
    slug: slugOf(project),
  }
}

/** `namespace/serviceaccount`; the cluster's issuer has to be said. */
export function kubernetesWorkload(text: string, options: WorkloadOptions): Workload {
  const [, namespace, account] = /^([a-z\d](?:[a-z\d-]*[a-z\d])?)\/([a-z\d](?:[a-z\d.-]*[a-z\d])?)$/u.exec(text) ?? []
  if (namespace === undefined || account === undefined) throw malformed('--kubernetes', text, 'namespace/serviceaccount')
  if (options.issuer === undefined) {
    throw awsClientError(
      'aws-settings-invalid',
      '--kubernetes needs the issuer of the cluster: --issuer URL.\n  See it: kubectl get --raw /.well-known/openid-configuration | jq -r .issuer',
    )
  }
  return {
    kind: 'kubernetes',
    text,
    ...providerOf(options, options.issuer),
    subject: `system:serviceaccount:${namespace}:${account}`,
    description: `service account ${account} in namespace ${namespace} of the cluster whose issuer is ${options.issuer}`,
    slug: slugOf(`${namespace}-${account}`),
  }
}

/** What condition keys and the provider's ARN call it: the issuer without its scheme. */
export function providerName({ issuer }: Workload): string {
  return issuer.replace(/^https:\/\//u, '')
}

/** A trust policy for exactly this workload. */
export function workloadTrust(workload: Workload, accountId: string): object {
  const name = providerName(workload)
  const subject = { [`${name}:sub`]: workload.subject }
  const audience = { [`${name}:aud`]: workload.audience }
  const hasWildcard = /[*?]/u.test(workload.subject)
  return {
    Version: '2012-10-17',
    Statement: [
      {
        Effect: 'Allow',
        Principal: { Federated: `arn:aws:iam::${accountId}:oidc-provider/${name}` },
        Action: 'sts:AssumeRoleWithWebIdentity',
        Condition: hasWildcard ? { StringEquals: audience, StringLike: subject } : { StringEquals: { ...audience, ...subject } },
      },
    ],
  }
}

function splitQualifier(qualifier: string | undefined): readonly ['any' | 'branch' | 'tag' | 'environment', string] {
  if (qualifier === undefined) return ['any', '']
  const colon = qualifier.indexOf(':')
  if (colon === -1) return ['branch', qualifier]
  return [qualifier.slice(0, colon) as 'branch' | 'tag' | 'environment', qualifier.slice(colon + 1)]
}

function providerOf({ issuer: asked, audience }: WorkloadOptions, usual: string): { issuer: string; audience: string } {
  const issuer = (asked ?? usual).replace(/\/$/u, '')
  if (URL.parse(issuer)?.protocol !== 'https:') throw malformed('--issuer', issuer, 'a URL with https, such as https://gitlab.example.com')
  return { issuer, audience: audience ?? defaultAudience }
}

function slugOf(text: string): string {
  return text.replaceAll(/[^A-Za-z\d]+/gu, '-').replaceAll(/^-|-$/gu, '')
}

function malformed(option: string, text: string, form: string): Error {
  return awsClientError('aws-settings-invalid', `${option} ${JSON.stringify(text)} is not understood: write ${form}`)
}
