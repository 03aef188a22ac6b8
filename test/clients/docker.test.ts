import { mkdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createAwsClient, type AwsClient } from '../support/aws.ts'
import { createDockerClient, useDockerEngine, type DockerClient, type DockerEngine } from '../support/docker-engine.ts'
import { helloProgram } from '../support/hello-program.ts'
import { installPrograms } from '../support/installed-programs.ts'
import { createDatabase, type TestDatabase } from '../support/postgres.ts'
import { CommandError, run } from '../support/run.ts'
import { registerSecret } from '../support/secrets.ts'
import { startStowage, type Stowage } from '../support/start-stowage.ts'
import { createTempDir, type TempDir } from '../support/temp-dir.ts'
import { ensureTool } from '../support/tools.ts'

describe.each(['SQLite', 'PostgreSQL'] as const)('docker against a server on %s', (databaseKind) => {
  let database: TestDatabase | undefined
  let stowage: Stowage
  let client: DockerClient
  let aws: AwsClient
  let dir: TempDir
  let registry: string
  let engine: DockerEngine

  beforeAll(async () => {
    engine = await useDockerEngine()
    if (databaseKind === 'PostgreSQL') database = await createDatabase()
    stowage = await startStowage(database === undefined ? {} : { databaseUrl: database.url })
    client = createDockerClient(engine)
    aws = createAwsClient(stowage)
    dir = createTempDir('build')
    registry = stowage.registryHost
  })

  afterAll(async () => {
    client?.remove()
    dir?.remove()
    await stowage?.stop()
    await database?.drop()
  })

  /** Runs lines as a user types them, in a folder that holds a Dockerfile. */
  async function shell(script: string, cwd = dir.path): Promise<string> {
    const path = [dirname(ensureTool('aws')), '/usr/sbin:/usr/bin:/sbin:/bin'].join(':')
    const env = { ...stowage.awsEnv, ...client.env, REGISTRY: registry, PATH: path }
    return (await run('sh', ['-euc', script], { env, cwd })).output
  }

  async function failingShell(script: string): Promise<string> {
    const failure: unknown = await shell(script).then(
      (output) => new Error(`should have failed: ${script}\n${output}`),
      (error: unknown) => error,
    )
    if (failure instanceof CommandError) return failure.result.output
    throw failure
  }

  /** A folder with a Dockerfile FROM scratch whose image prints `line`. */
  function buildContext(name: string, line: string): string {
    const path = join(dir.path, name)
    mkdirSync(path, { recursive: true })
    writeFileSync(join(path, 'hello'), helloProgram(line), { mode: 0o755 })
    writeFileSync(join(path, 'Dockerfile'), 'FROM scratch\nCOPY hello /hello\nCMD ["/hello"]\n')
    return path
  }

  async function logIn(): Promise<void> {
    await shell(
      'aws ecr get-login-password --region us-east-1 | docker login --username AWS --password-stdin $REGISTRY',
    )
  }

  /** Builds and pushes `repository:tag` into a new repository. */
  async function pushNew(repository: string, tag: string, line: string): Promise<void> {
    await logIn()
    await aws.json('ecr', 'create-repository', '--repository-name', repository)
    await pushAgain(repository, tag, line)
  }

  async function pushAgain(repository: string, tag: string, line: string): Promise<void> {
    const image = `${registry}/${repository}:${tag}`
    await client.docker(['build', '--tag', image, buildContext(repository, line)])
    await client.docker(['push', image])
  }

  /** Docker as a user whom `stowage iam quickstart` made for least/…, logged in with a token of its access key. */
  async function dockerOf(set: 'puller' | 'ci-pusher'): Promise<DockerClient> {
    const bin = join(dir.path, `bin-${set}`)
    mkdirSync(bin)
    const env = { ...stowage.awsEnv, PATH: installPrograms(bin), HOME: dir.path }
    const made = await run('stowage', ['iam', 'quickstart', set, '--repository-prefix', 'least/', '--apply', '--json'], { env })
    const { accessKey } = JSON.parse(made.stdout) as { accessKey: { accessKeyId: string; secretAccessKey: string } }
    registerSecret('a secret access key', accessKey.secretAccessKey)
    const keys = { AWS_ACCESS_KEY_ID: accessKey.accessKeyId, AWS_SECRET_ACCESS_KEY: accessKey.secretAccessKey }
    const password = await createAwsClient({ ...stowage, awsEnv: { ...stowage.awsEnv, ...keys } }).text('ecr', 'get-login-password')
    const own = createDockerClient(engine)
    await own.docker(['login', '--username', 'AWS', '--password-stdin', registry], { input: password })
    return own
  }

  async function runImage(image: string): Promise<string> {
    return (await client.docker(['run', '--rm', '--network', 'host', image])).stdout
  }

  test('the walkthrough as written: build, push, version, and no second push of an immutable tag', async () => {
    const line = `version 1 on ${databaseKind}`
    const context = buildContext('my-app', line)
    const created = await shell(
      `docker build -t my-app:latest .
       aws ecr create-repository --repository-name my-app --region us-east-1`,
      context,
    )
    const loggedIn = await shell(
      'aws ecr get-login-password --region us-east-1 | docker login --username AWS --password-stdin $REGISTRY',
    )
    await shell(`docker tag my-app:latest $REGISTRY/my-app:latest
      docker push $REGISTRY/my-app:latest
      docker tag my-app:latest $REGISTRY/my-app:v1.0.0
      docker push $REGISTRY/my-app:v1.0.0
      docker tag my-app:latest $REGISTRY/my-app:abcdef123
      docker push $REGISTRY/my-app:abcdef123
      docker tag my-app:latest $REGISTRY/my-app:2025-02-17
      docker push $REGISTRY/my-app:2025-02-17
      aws ecr put-image-tag-mutability --repository-name my-app --image-tag-mutability IMMUTABLE`)

    expect(created).toContain(`"repositoryUri": "${registry}/my-app"`)
    expect(loggedIn).toContain('Login Succeeded')
    const { imageDetails } = await aws.json('ecr', 'describe-images', '--repository-name', 'my-app')
    expect(imageDetails).toHaveLength(1)
    expect(imageDetails[0].imageTags.toSorted()).toEqual(['2025-02-17', 'abcdef123', 'latest', 'v1.0.0'])

    // The machine that deploys has nothing of it.
    await client.docker(['rmi', '--force', ...(await client.docker(['images', '--quiet', 'my-app'])).stdout.trim().split('\n')])
    const pulled = await shell('docker pull $REGISTRY/my-app:v1.0.0')
    expect(pulled).toContain(`Digest: ${imageDetails[0].imageDigest}`)
    expect(pulled).toContain('Downloaded newer image')
    expect(await runImage(`${registry}/my-app:v1.0.0`)).toBe(`${line}\n`)

    buildContext('my-app', `version 2 on ${databaseKind}`)
    await client.docker(['build', '--tag', `${registry}/my-app:v1.0.0`, context])
    expect(await failingShell('docker push $REGISTRY/my-app:v1.0.0')).toContain(
      "tag invalid: The image tag 'v1.0.0' already exists in the 'my-app' repository and cannot be overwritten because the tag is immutable.",
    )
    await shell('docker tag $REGISTRY/my-app:v1.0.0 $REGISTRY/my-app:v2.0.0 && docker push $REGISTRY/my-app:v2.0.0')
  })

  test('a multi-stage build is pushed and runs', async () => {
    const context = buildContext('multi-stage', 'of the first stage')
    writeFileSync(
      join(context, 'Dockerfile'),
      'FROM scratch AS build\nCOPY hello /out/program\nFROM scratch\nCOPY --from=build /out/program /program\nENTRYPOINT ["/program"]\n',
    )
    const image = `${registry}/multi-stage:v1`
    await logIn()
    await aws.json('ecr', 'create-repository', '--repository-name', 'multi-stage')

    await client.docker(['build', '--tag', image, context])
    await client.docker(['push', image])
    await client.docker(['rmi', '--force', image])

    expect(await runImage(image)).toBe('of the first stage\n')
  })

  test('aws ecr put-image gives an image another tag without a pull', async () => {
    await pushNew('retag', 'candidate', 'retagged')

    await shell(
      `MANIFEST=$(aws ecr batch-get-image --repository-name retag --image-ids imageTag=candidate --output text --query 'images[].imageManifest')
       aws ecr put-image --repository-name retag --image-tag stable --image-manifest "$MANIFEST"`,
    )

    await client.docker(['rmi', '--force', `${registry}/retag:candidate`])
    const { imageDetails } = await aws.json('ecr', 'describe-images', '--repository-name', 'retag')
    expect(imageDetails).toHaveLength(1)
    expect(imageDetails[0].imageTags.toSorted()).toEqual(['candidate', 'stable'])
    expect(await runImage(`${registry}/retag:stable`)).toBe('retagged\n')
  })

  test('an image is pulled by its digest', async () => {
    await pushNew('by-digest', 'v1', 'by digest')
    const { imageIds } = await aws.json('ecr', 'list-images', '--repository-name', 'by-digest')
    await client.docker(['rmi', '--force', `${registry}/by-digest:v1`])

    const image = `${registry}/by-digest@${imageIds[0].imageDigest}`
    await client.docker(['pull', image])

    expect(await runImage(image)).toBe('by digest\n')
  })

  test('a layer that another repository has is mounted, not sent again', async () => {
    await pushNew('team/base', 'v1', 'shared layer')
    await aws.json('ecr', 'create-repository', '--repository-name', 'team/copy')
    await client.docker(['tag', `${registry}/team/base:v1`, `${registry}/team/copy:v1`])

    const pushed = await client.docker(['push', `${registry}/team/copy:v1`])

    expect(pushed.output).toContain('Mounted from team/base')
    await client.docker(['rmi', '--force', `${registry}/team/base:v1`, `${registry}/team/copy:v1`])
    expect(await runImage(`${registry}/team/copy:v1`)).toBe('shared layer\n')
  })

  test('who was set up by the quickstart as a puller pulls, and as a pusher pushes; a push of the puller says why not', async () => {
    await pushNew('least/app', 'v1', 'least privilege')
    const image = `${registry}/least/app:v1`
    const [puller, pusher] = [await dockerOf('puller'), await dockerOf('ci-pusher')]

    await client.docker(['rmi', '--force', image])
    await puller.docker(['pull', image])
    await puller.docker(['build', '--tag', `${registry}/least/app:v2`, buildContext('least-v2', 'second version')])
    const refused = await puller.docker(['push', `${registry}/least/app:v2`], { mayFail: true })
    const pushed = await pusher.docker(['push', `${registry}/least/app:v2`])

    expect(refused.exitCode).not.toBe(0)
    expect(refused.output).toMatch(
      /denied: User: arn:aws:iam::000000000000:user\/least-puller is not authorized to perform: ecr:\w+ on resource: arn:aws:ecr:us-east-1:000000000000:repository\/least\/app because no identity-based policy allows/,
    )
    expect(pushed.output).toMatch(/v2: digest: sha256:/)
    const { imageIds } = await aws.json('ecr', 'list-images', '--repository-name', 'least/app')
    expect(imageIds.map(({ imageTag }: { imageTag?: string }) => imageTag).toSorted()).toEqual(['v1', 'v2'])
    for (const each of [puller, pusher]) each.remove()
  })

  test('a mutable tag moves to what was pushed last', async () => {
    await pushNew('moving', 'latest', 'first')
    await pushAgain('moving', 'latest', 'second')
    await client.docker(['rmi', '--force', `${registry}/moving:latest`])

    expect(await runImage(`${registry}/moving:latest`)).toBe('second\n')
    const untagged = await aws.json('ecr', 'list-images', '--repository-name', 'moving', '--filter', 'tagStatus=UNTAGGED')
    expect(untagged.imageIds).toHaveLength(1)
  })

  test('an image deleted with aws ecr batch-delete-image can no longer be pulled', async () => {
    await pushNew('deleted', 'v1', 'gone')
    await client.docker(['rmi', '--force', `${registry}/deleted:v1`])

    const deleted = await aws.json('ecr', 'batch-delete-image', '--repository-name', 'deleted', '--image-ids', 'imageTag=v1')

    expect(deleted.imageIds).toMatchObject([{ imageTag: 'v1' }])
    expect(deleted.failures).toEqual([])
    expect(await failingShell('docker pull $REGISTRY/deleted:v1')).toContain('manifest unknown: Requested image not found')
    expect(await failingShell('aws ecr describe-images --repository-name deleted --image-ids imageTag=v1')).toContain(
      'ImageNotFoundException',
    )
  })

  test('what a user does wrong is answered with what to do', async () => {
    await shell('docker logout $REGISTRY')
    expect(await failingShell('docker pull $REGISTRY/my-app:latest')).toContain('no basic auth credentials')
    expect(
      await failingShell('echo not-the-password | docker login --username AWS --password-stdin $REGISTRY'),
    ).not.toContain('Login Succeeded')

    await logIn()
    await client.docker(['build', '--tag', `${registry}/never-created:v1`, buildContext('never-created', 'nowhere')])
    expect(await failingShell('docker push $REGISTRY/never-created:v1')).toMatch(
      /name unknown: The repository with name 'never-created' does not exist in the registry with id '\d{12}'/,
    )
    expect(await failingShell('docker pull $REGISTRY/never-created:v1')).toContain(
      "The repository with name 'never-created' does not exist",
    )
  })
})
