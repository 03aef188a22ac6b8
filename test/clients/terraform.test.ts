import { existsSync, writeFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { delimiter, join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createAwsClient, type AwsClient } from '../support/aws.ts'
import { run, type RunResult } from '../support/run.ts'
import { startStowage, type Stowage } from '../support/start-stowage.ts'
import { createTempDir, type TempDir } from '../support/temp-dir.ts'

/*
 * The real terraform with the real AWS provider. Neither is in Debian's archive, so that they cannot be installed by the
 * tests: where one is missing, the sequence of calls that they make is tested by test/aws/ecr-terraform.test.ts alone.
 */

const terraform = (process.env['PATH'] ?? '').split(delimiter).map((folder) => join(folder, 'terraform')).find((path) => existsSync(path))
/** Where terraform looks for providers by itself, and where CI images put them. */
const mirror = [
  ...(process.env['STOWAGE_TERRAFORM_PROVIDERS'] === undefined ? [] : [process.env['STOWAGE_TERRAFORM_PROVIDERS']]),
  join(homedir(), '.terraform.d/plugins'),
  '/usr/local/share/terraform/plugins',
  '/usr/share/terraform/plugins',
  '/opt/tf-plugins',
].find((folder) => existsSync(join(folder, 'registry.terraform.io/hashicorp/aws')))

const missing = terraform === undefined ? 'terraform is not in PATH' : mirror === undefined ? 'no folder has its AWS provider' : undefined
if (missing !== undefined) console.warn(`test/clients/terraform.test.ts is skipped: ${missing}`)

const policyOf = (action: string, principal = '"arn:aws:iam::000000000000:root"'): string => `jsonencode({
    Version   = "2012-10-17"
    Statement = [{ Sid = "share", Effect = "Allow", Principal = { AWS = ${principal} }, Action = ["${action}"] }]
  })`

/** Every resource of the provider that Stowage serves. `round` changes what can be changed of them. */
function configuration(url: string, round: 1 | 2): string {
  return `
terraform {
  required_providers {
    aws = { source = "hashicorp/aws" }
  }
}
provider "aws" {
  region                      = "us-east-1"
  skip_credentials_validation = true
  skip_metadata_api_check     = true
  endpoints {
    ecr = "${url}"
    iam = "${url}"
    sts = "${url}"
  }
}
resource "aws_iam_user" "puller" {
  name = "terraform-puller"
  path = "/terraform/"
}
resource "aws_iam_role" "builder" {
  name               = "terraform-builder"
  assume_role_policy = ${policyOf('sts:AssumeRole', round === 1 ? 'aws_iam_user.puller.arn' : '[aws_iam_user.puller.arn, "arn:aws:iam::000000000000:root"]')}
}
resource "aws_ecr_repository" "app" {
  name                 = "terraform/app"
  image_tag_mutability = "${round === 1 ? 'MUTABLE' : 'IMMUTABLE'}"
  tags                 = { team = "${round === 1 ? 'a' : 'b'}" }
  image_scanning_configuration {
    scan_on_push = ${round === 1}
  }
}
resource "aws_ecr_repository_policy" "app" {
  repository = aws_ecr_repository.app.name
  policy     = ${policyOf(round === 1 ? 'ecr:BatchGetImage' : 'ecr:ListImages', '[aws_iam_role.builder.arn, aws_iam_user.puller.arn]')}
}
resource "aws_ecr_lifecycle_policy" "app" {
  repository = aws_ecr_repository.app.name
  policy = jsonencode({
    rules = [
      {
        rulePriority = 1
        description  = "Leftovers of builds"
        selection    = { tagStatus = "untagged", countType = "sinceImagePushed", countUnit = "days", countNumber = ${round === 1 ? 14 : 7} }
        action       = { type = "expire" }
      },
      {
        rulePriority = 2
        selection    = { tagStatus = "tagged", ${round === 1 ? 'tagPrefixList = ["v"]' : 'tagPatternList = ["v*"]'}, countType = "imageCountMoreThan", countNumber = 30 }
        action       = { type = "expire" }
      },
    ]
  })
}
resource "aws_ecr_registry_policy" "all" {
  policy = ${policyOf(round === 1 ? 'ecr:DescribeRepositories' : 'ecr:ListImages')}
}
resource "aws_ecr_repository_creation_template" "team" {
  prefix               = "terraform/team"
  description          = "${round === 1 ? 'first' : 'second'}"
  image_tag_mutability = "${round === 1 ? 'IMMUTABLE' : 'MUTABLE'}"
  applied_for          = ["REPLICATION"]
  custom_role_arn      = "arn:aws:iam::000000000000:role/creator"
  resource_tags        = { team = "${round === 1 ? 'a' : 'b'}" }
  ${round === 1 ? `repository_policy = ${policyOf('ecr:BatchGetImage')}` : ''}
}
resource "aws_ecr_account_setting" "mounting" {
  name  = "BASIC_SCAN_TYPE_VERSION"
  value = "AWS_NATIVE"
}
`
}

describe.skipIf(missing !== undefined)('terraform', () => {
  let stowage: Stowage
  let aws: AwsClient
  let dir: TempDir

  beforeAll(async () => {
    stowage = await startStowage()
    aws = createAwsClient(stowage)
    dir = createTempDir('terraform')
    writeFileSync(
      join(dir.path, 'terraform.rc'),
      `provider_installation {\n  filesystem_mirror {\n    path    = "${mirror ?? ''}"\n    include = ["registry.terraform.io/*/*"]\n  }\n}\n`,
    )
  })
  afterAll(async () => {
    dir?.remove()
    await stowage?.stop()
  })

  async function runTerraform(...args: string[]): Promise<RunResult> {
    const env = {
      ...stowage.awsEnv,
      HOME: dir.path,
      TF_CLI_CONFIG_FILE: join(dir.path, 'terraform.rc'),
      TF_IN_AUTOMATION: '1',
      CHECKPOINT_DISABLE: '1',
    }
    return run(terraform ?? '', [...args, '-no-color', '-input=false'], { cwd: dir.path, env, mayFail: true, timeoutMs: 300_000 })
  }

  async function succeed(...args: string[]): Promise<void> {
    const { exitCode, output } = await runTerraform(...args)
    if (exitCode !== 0) throw new Error(`terraform ${args.join(' ')} failed:\n${output}`)
  }

  /** Applies; then what terraform reads back has to be what it wrote. */
  async function apply(round: 1 | 2): Promise<void> {
    writeFileSync(join(dir.path, 'main.tf'), configuration(stowage.url, round))
    await succeed('apply', '-auto-approve')
    // 0: nothing to change; 2: something would be changed again.
    const { exitCode, output } = await runTerraform('plan', '-detailed-exitcode')
    expect(exitCode, output).toBe(0)
  }

  // Each run starts the provider anew, which reads a gigabyte of schemas.
  test('creates, reads, updates and deletes everything, and never finds a second plan to make', { timeout: 900_000 }, async () => {
    writeFileSync(join(dir.path, 'main.tf'), configuration(stowage.url, 1))
    await succeed('init')

    await apply(1)
    const [created] = (await aws.json('ecr', 'describe-repositories')).repositories
    expect(created).toMatchObject({ repositoryName: 'terraform/app', imageTagMutability: 'MUTABLE' })

    const policy = () => aws.text('ecr', 'get-lifecycle-policy', '--repository-name', 'terraform/app', '--query', 'lifecyclePolicyText')
    const rules = async () => (JSON.parse(await policy()) as { rules: unknown[] }).rules
    expect(await rules()).toMatchObject([{ selection: { countNumber: 14 } }, { selection: { tagPrefixList: ['v'] } }])

    await apply(2)
    expect(await rules()).toMatchObject([{ selection: { countNumber: 7 } }, { selection: { tagPatternList: ['v*'] } }])
    const [updated] = (await aws.json('ecr', 'describe-repositories')).repositories
    expect(updated).toMatchObject({ createdAt: created.createdAt, imageTagMutability: 'IMMUTABLE' })
    expect(await aws.text('ecr', 'get-registry-policy')).toContain('ecr:ListImages')

    // What stands for principals is theirs alone: made anew, they have to be named anew, which terraform sees.
    await aws.json('iam', 'delete-role', '--role-name', 'terraform-builder')
    const { output: changes } = await runTerraform('plan', '-detailed-exitcode')
    expect(changes).toContain('aws_iam_role.builder will be created')
    expect(changes).toMatch(/aws_ecr_repository_policy\.app (?:will be updated in-place|has changed|must be replaced)/)
    await apply(2)

    await succeed('destroy', '-auto-approve', '-target=aws_ecr_lifecycle_policy.app')
    expect(await aws.failure('ecr', 'get-lifecycle-policy', '--repository-name', 'terraform/app')).toContain('LifecyclePolicyNotFoundException')
    await succeed('destroy', '-auto-approve')
    expect((await aws.json('ecr', 'describe-repositories')).repositories).toEqual([])
    expect(await aws.failure('ecr', 'get-registry-policy')).toContain('RegistryPolicyNotFoundException')
    expect(await aws.json('ecr', 'describe-repository-creation-templates')).toMatchObject({ repositoryCreationTemplates: [] })
  })
})
