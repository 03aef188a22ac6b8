import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { databases, startRegistry, type RegistryFixture } from '../../../test/support/registry.ts'
import { isPlatformError } from '../../internal/platform-error.ts'
import { systemIds } from '../../internal/ids.ts'
import { commandContext } from '../../registry/index.ts'
import { textKeyring } from '../iam.test-support.ts'
import { iamQuotas } from '../quotas.ts'
import { createIamDirectory, type IamDirectory } from './index.ts'

const document = '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"ecr:*","Resource":"*"}]}'
const trustPolicy =
  '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"sts:AssumeRole","Principal":{"AWS":"*"}}]}'

const named = ['account_id', 'name', 'name_key', 'path', 'unique_id', 'created_at']
const kinds = [
  { table: 'iam_user', quota: 'UsersPerAccount', further: [] },
  { table: 'iam_group', quota: 'GroupsPerAccount', further: [] },
  { table: 'iam_role', quota: 'RolesPerAccount', further: ['trust_policy', 'max_session_seconds'] },
  { table: 'iam_policy', quota: 'PoliciesPerAccount', further: ['default_version', 'last_version', 'updated_at'] },
] as const

describe.each(databases)('the quotas of identities on %s', (kind) => {
  let fixture: RegistryFixture
  let directory: IamDirectory

  beforeAll(async () => {
    fixture = await startRegistry(kind)
    directory = createIamDirectory({ database: fixture.database, keyring: await textKeyring(), ids: systemIds })
  })
  afterAll(() => fixture.stop())

  function create(table: (typeof kinds)[number]['table'], name: string): Promise<unknown> {
    const { entities, policies } = directory
    const context = commandContext(fixture.context)
    const made = { name, path: '/', description: undefined, boundaryArn: undefined, tags: [] }
    switch (table) {
      case 'iam_user':
        return entities.createUser(made, context)
      case 'iam_group':
        return entities.createGroup(made, context)
      case 'iam_role':
        return entities.createRole({ ...made, trustPolicy, maxSessionSeconds: 3600 }, context)
      case 'iam_policy':
        return policies.create({ ...made, document }, context)
    }
  }

  async function outcomeOf(work: Promise<unknown>): Promise<string> {
    try {
      await work
      return 'ok'
    } catch (error) {
      if (isPlatformError(error)) return `${error.code}: ${error.message}`
      throw error
    }
  }

  it.each(kinds)('$quota holds, also for those that are made at once', async ({ table, quota, further }) => {
    await create(table, 'first')
    const columns = [...named, ...further].join(', ')
    const copied = columns.replace('name, name_key', `'copy-' || i, 'copy-' || i`).replace('unique_id', `'COPY' || i`)
    // All but two of what there may be, with one that was made above.
    await fixture.tamper(
      `insert into ${table} (${columns}) with recursive n(i) as (select 1 union all select i + 1 from n where i < ${iamQuotas[quota] - 3}) select ${copied} from ${table}, n where name = 'first'`,
    )

    const outcomes = await Promise.all(Array.from({ length: 6 }, (_, n) => outcomeOf(create(table, `race-${n}`))))

    const full = `iam-limit-exceeded: Cannot exceed quota for ${quota}: ${iamQuotas[quota]}`
    expect(outcomes.toSorted()).toEqual([full, full, full, full, 'ok', 'ok'])
    expect(await outcomeOf(create(table, 'later'))).toBe(full)
  })
})
