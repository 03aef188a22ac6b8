import type { JWTPayload } from 'jose'

/*
 * The claims of tokens as build systems issue them, by their documentation. `iss` and the times are added by whoever signs.
 */

/** https://docs.github.com/en/actions/reference/security/oidc: a job of GitHub Actions. */
export function githubClaims(job: {
  readonly repository?: string
  readonly ref?: string
  readonly environment?: string
  readonly audience?: string
}): JWTPayload {
  const { repository = 'octo-org/octo-repo', ref = 'refs/heads/main', environment, audience = 'sts.amazonaws.com' } = job
  const [owner = ''] = repository.split('/')
  return {
    jti: 'example-id',
    sub: environment === undefined ? `repo:${repository}:ref:${ref}` : `repo:${repository}:environment:${environment}`,
    aud: audience,
    ...(environment !== undefined && { environment, environment_node_id: 'EN_kwDOABCD1M4AAAAB' }),
    ref,
    sha: '3f786850e387550fdab836ed7e6dc881de23001b',
    repository,
    repository_owner: owner,
    actor_id: '12',
    repository_visibility: 'private',
    repository_id: '74',
    repository_owner_id: '65',
    run_id: '9947812345',
    run_number: '10',
    run_attempt: '2',
    runner_environment: 'github-hosted',
    actor: 'octocat',
    workflow: 'example-workflow',
    head_ref: '',
    base_ref: '',
    event_name: 'workflow_dispatch',
    ref_protected: 'true',
    ref_type: ref.startsWith('refs/tags/') ? 'tag' : 'branch',
    workflow_ref: `${repository}/.github/workflows/release.yml@${ref}`,
    workflow_sha: '3f786850e387550fdab836ed7e6dc881de23001b',
    job_workflow_ref: 'octo-org/octo-automation/.github/workflows/oidc.yml@refs/heads/main',
    job_workflow_sha: '3f786850e387550fdab836ed7e6dc881de23001b',
    enterprise: 'avocado-corp',
    enterprise_id: '2',
  }
}

/** https://docs.gitlab.com/ci/secrets/id_token_authentication/: a job of GitLab CI. */
export function gitlabClaims(job: { readonly projectPath?: string; readonly branch?: string; readonly audience: string }): JWTPayload {
  const { projectPath = 'my-group/my-project', branch = 'main', audience } = job
  return {
    namespace_id: '72',
    namespace_path: projectPath.split('/')[0],
    project_id: '20',
    project_path: projectPath,
    user_id: '1',
    user_login: 'sample-user',
    user_email: 'sample-user@example.com',
    user_access_level: 'developer',
    pipeline_id: '574',
    pipeline_source: 'push',
    job_id: '302',
    ref: branch,
    ref_type: 'branch',
    ref_path: `refs/heads/${branch}`,
    ref_protected: 'true',
    groups_direct: ['my-group', 'my-group/admins'],
    environment: 'test-environment2',
    environment_protected: 'false',
    deployment_tier: 'testing',
    environment_action: 'start',
    runner_id: 1,
    runner_environment: 'self-hosted',
    sha: '714a629c0b401fdce83e847fc9589983fc6f46bc',
    project_visibility: 'public',
    ci_config_ref_uri: `gitlab.example.com/${projectPath}//.gitlab-ci.yml@refs/heads/${branch}`,
    ci_config_sha: '714a629c0b401fdce83e847fc9589983fc6f46bc',
    jti: '235b3a54-b797-45c7-ae9a-f72d7bc6ef5b',
    sub: `project_path:${projectPath}:ref_type:branch:ref:${branch}`,
    aud: audience,
  }
}

/** https://kubernetes.io/docs/reference/access-authn-authz/service-accounts-admin/: a projected token of a service account. */
export function kubernetesClaims(pod: { readonly namespace: string; readonly serviceAccount: string; readonly audience: string }): JWTPayload {
  const { namespace, serviceAccount, audience } = pod
  return {
    aud: [audience],
    jti: '82f2fd6e-6ee7-4a7f-9a3c-1e4e3c5a1a55',
    'kubernetes.io': {
      namespace,
      node: { name: 'worker-1', uid: '58456cb0-dd00-45ed-b797-5578fdceaced' },
      pod: { name: 'builder-69cbfb9798-jv9gn', uid: '778a530c-b3f4-47c0-9cd5-ab018fb64f33' },
      serviceaccount: { name: serviceAccount, uid: 'a087d5a0-e1dd-43ec-93ac-f13d89cd13af' },
      warnafter: 1_700_081_020,
    },
    sub: `system:serviceaccount:${namespace}:${serviceAccount}`,
  }
}
