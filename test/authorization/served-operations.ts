import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import type { AwsService } from '../../src/http/aws/service.ts'
import { createCloudTrailService } from '../../src/http/aws/services/cloudtrail/index.ts'
import { createEcrService } from '../../src/http/aws/services/ecr/index.ts'
import { createEventsService } from '../../src/http/aws/services/events/index.ts'
import { createMonitoringServices } from '../../src/http/aws/services/monitoring/index.ts'
import { createIamService } from '../../src/http/aws/services/iam/index.ts'
import { createLogsService } from '../../src/http/aws/services/logs/index.ts'
import { createStowageService } from '../../src/http/aws/services/stowage/index.ts'
import { createStsService } from '../../src/http/aws/services/sts/index.ts'
import { operations } from '../../src/http/distribution/operations.ts'
import { newKeyring, openKeyring, serializeKeyring } from '../../src/iam/index.ts'
import { systemClock } from '../../src/internal/clock.ts'
import { systemIds } from '../../src/internal/ids.ts'
import { projectDir } from '../support/tools.ts'

/** The names of all operations that the server has, by both protocols; nothing else of its tables is looked at. */
export async function servedOperations(): Promise<string[]> {
  const keyring = await openKeyring({
    dataDir: '',
    keyring: serializeKeyring(newKeyring(systemClock, systemIds)),
    requireExisting: true,
    clock: systemClock,
    ids: systemIds,
  })
  // Only names are asked for; what would do the work is never called.
  const none = {} as never
  const services: readonly AwsService[] = [
    createEcrService({ registry: none, lifecycle: none, keyring, clock: systemClock }),
    createStsService(none),
    createCloudTrailService({ trail: none, keyring }),
    createStowageService({ registry: none, erasures: none, collection: none, reconciler: none, diskWatch: none, lifecycle: none, keyring, accounts: none, homeAccountId: none, protections: none, quotas: none, usageSources: none, audit: {} as never, events: {} as never, metricsText: none }),
    createEventsService({ rules: none, keyring }),
    createLogsService({ logs: none, keyring }),
    // The same operations in each of its protocols.
    ...createMonitoringServices({ reader: none, writer: none, alarms: none, keyring }).slice(0, 1),
    createIamService({ directory: { entities: none, policies: none, keys: none, account: none, providers: none } as never }),
  ]
  const folders = readdirSync(join(projectDir, 'src/http/aws/services'))
  const unknown = folders.filter((folder) => !services.some(({ name }) => name === folder))
  if (unknown.length > 0) throw new Error(`the matrix knows nothing of the services in ${unknown.join(', ')}`)
  return [
    ...services.flatMap((service) => namesOf(service).map((name) => `${service.name}:${name}`)),
    ...Object.keys(operations).map((name) => `oci:${name}`),
  ].sort()
}

function namesOf(service: AwsService): string[] {
  return Object.keys({ ...service.operations, ...('unsignedOperations' in service ? service.unsignedOperations : {}) })
}
