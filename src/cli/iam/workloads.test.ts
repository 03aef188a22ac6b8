import { describe, expect, it } from 'vitest'
import { githubWorkload, gitlabWorkload, kubernetesWorkload, workloadTrust } from './workloads.ts'

describe('a workload', () => {
  it.each([
    ['acme/shop', 'repo:acme/shop:*'],
    ['acme/shop@main', 'repo:acme/shop:ref:refs/heads/main'],
    ['acme/shop@release/1.x', 'repo:acme/shop:ref:refs/heads/release/1.x'],
    ['acme/shop@branch:main', 'repo:acme/shop:ref:refs/heads/main'],
    ['acme/shop@tag:v*', 'repo:acme/shop:ref:refs/tags/v*'],
    ['acme/shop@environment:production', 'repo:acme/shop:environment:production'],
  ])('of GitHub, %s, is known by the subject %s', (text, subject) => {
    expect(githubWorkload(text, {})).toMatchObject({ issuer: 'https://token.actions.githubusercontent.com', audience: 'sts.amazonaws.com', subject })
  })

  it.each([
    ['acme/tools/shop', 'project_path:acme/tools/shop:*'],
    ['acme/shop@main', 'project_path:acme/shop:ref_type:branch:ref:main'],
    ['acme/shop@tag:v*', 'project_path:acme/shop:ref_type:tag:ref:v*'],
  ])('of GitLab, %s, is known by the subject %s', (text, subject) => {
    expect(gitlabWorkload(text, { issuer: 'https://git.example.com/' })).toMatchObject({ issuer: 'https://git.example.com', subject })
  })

  it('of Kubernetes is known by its service account', () => {
    const workload = kubernetesWorkload('shop/web', { issuer: 'https://k8s.example.com/cluster', audience: 'stowage' })

    expect(workload).toMatchObject({ issuer: 'https://k8s.example.com/cluster', audience: 'stowage', subject: 'system:serviceaccount:shop:web' })
  })

  it.each([
    () => githubWorkload('shop', {}),
    () => githubWorkload('acme/*', {}),
    () => githubWorkload('acme/shop@', {}),
    () => githubWorkload('acme/shop@pull:1', {}),
    () => githubWorkload('acme/shop@${aws:username}', {}),
    () => gitlabWorkload('shop', {}),
    () => gitlabWorkload('acme/shop@environment:production', {}),
    () => gitlabWorkload('acme/shop', { issuer: 'http://gitlab.example.com' }),
    () => kubernetesWorkload('web', { issuer: 'https://k8s.example.com' }),
    () => kubernetesWorkload('shop/*', { issuer: 'https://k8s.example.com' }),
    () => kubernetesWorkload('shop/web', {}),
  ])('is refused where more or less would be trusted than meant: %s', (parse) => {
    expect(parse).toThrow(expect.objectContaining({ code: 'aws-settings-invalid' }))
  })
})

describe('the trust in a workload', () => {
  it('names the provider, the audience and the exact subject', () => {
    expect(workloadTrust(githubWorkload('acme/shop@main', {}), '111122223333')).toEqual({
      Version: '2012-10-17',
      Statement: [
        {
          Effect: 'Allow',
          Principal: { Federated: 'arn:aws:iam::111122223333:oidc-provider/token.actions.githubusercontent.com' },
          Action: 'sts:AssumeRoleWithWebIdentity',
          Condition: {
            StringEquals: {
              'token.actions.githubusercontent.com:aud': 'sts.amazonaws.com',
              'token.actions.githubusercontent.com:sub': 'repo:acme/shop:ref:refs/heads/main',
            },
          },
        },
      ],
    })
  })

  it('compares a subject as a pattern only where it has one, and the audience never', () => {
    const { Statement: statements } = workloadTrust(githubWorkload('acme/shop', {}), '111122223333') as { Statement: [{ Condition: object }] }

    expect(statements[0].Condition).toEqual({
      StringEquals: { 'token.actions.githubusercontent.com:aud': 'sts.amazonaws.com' },
      StringLike: { 'token.actions.githubusercontent.com:sub': 'repo:acme/shop:*' },
    })
  })
})
