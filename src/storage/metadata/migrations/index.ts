import type { DialectName } from '../statement.ts'
import { foundation } from './0001-foundation.ts'
import { blobChecksums } from './0002-blob-checksums.ts'
import { iam } from './0003-iam.ts'
import { registrySettings } from './0004-registry-settings.ts'
import { lifecycle } from './0005-lifecycle.ts'
import { retirementByRule } from './0006-retirement-by-rule.ts'
import { tagsOfOldTrash } from './0008-tags-of-old-trash.ts'
import { blobMoves } from './0010-blob-moves.ts'
import { quotas } from './0011-quotas.ts'
import { auditRequests } from './0012-audit-requests.ts'
import { events } from './0013-events.ts'
import { metricAlarms } from './0014-metric-alarms.ts'
import { trashRules } from './0015-trash-rules.ts'
import type { MetadataMigration } from './migration.ts'

/** Forward only, in the order of their names; a migration that has been released is never changed. */
export function migrations(dialect: DialectName): Record<string, MetadataMigration> {
  return {
    '0001-foundation': foundation(dialect),
    '0002-blob-checksums': blobChecksums(dialect),
    '0003-iam': iam(dialect),
    '0004-registry-settings': registrySettings(dialect),
    '0005-lifecycle': lifecycle(dialect),
    '0006-retirement-by-rule': retirementByRule(dialect),
    '0008-tags-of-old-trash': tagsOfOldTrash(dialect),
    '0010-blob-moves': blobMoves(dialect),
    '0011-quotas': quotas(dialect),
    '0012-audit-requests': auditRequests(dialect),
    '0013-events': events(dialect),
    '0014-metric-alarms': metricAlarms(dialect),
    '0015-trash-rules': trashRules(),
  }
}
