import { PlatformError, type ErrorDetail } from '../internal/platform-error.ts'

/** Every expected failure of the registry's rules. Each edge answers all of them from one total table. */
export type RegistryErrorCode =
  | 'repository-unknown'
  | 'repository-exists'
  | 'repository-not-empty'
  | 'manifest-unknown'
  | 'manifest-blob-unknown'
  | 'manifest-child-unknown'
  | 'manifest-too-large'
  | 'manifest-referenced'
  | 'tag-unknown'
  | 'tag-immutable'
  | 'tags-changed'
  | 'image-exists'
  | 'digest-mismatch'
  | 'size-mismatch'
  | 'blob-unknown'
  | 'blob-referenced'
  | 'upload-unknown'
  | 'upload-range-invalid'
  | 'upload-empty'
  | 'upload-part-too-small'
  | 'layer-exists'
  | 'page-invalid'
  | 'repository-policy-unknown'
  | 'registry-policy-unknown'
  | 'template-unknown'
  | 'template-exists'
  | 'exclusion-unknown'
  | 'exclusion-exists'
  | 'too-many-tags'
  | 'parameter-invalid'
  | 'limit-exceeded'
  | 'quota-unknown'
  | 'image-protected'
  | 'repository-protected'
  | 'protection-unknown'
  | 'usage-source-unknown'
  | 'usage-source-exists'
  | 'usage-snapshot-conflict'
  | 'usage-snapshot-incomplete'
  | 'hold-unknown'
  | 'trash-unknown'
  | 'repository-trashed'
  | 'tag-change-unknown'
  | 'tag-changed-since'
  | 'image-blocked'
  | 'image-archived'
  | 'storage-class-unsupported'

export function registryError(
  code: RegistryErrorCode,
  message: string,
  detail?: ErrorDetail,
): PlatformError<RegistryErrorCode> {
  return new PlatformError(code, message, { detail })
}

/** A refusal in ECR's form: which member of an input broke which rule. */
export function parameterInvalid(field: string, constraint: string): PlatformError<RegistryErrorCode> {
  const message = `Invalid parameter at '${field}' failed to satisfy constraint: '${constraint}'`
  return registryError('parameter-invalid', message, { field, constraint })
}
