import type { AuthorizationContext, Principal } from '../../iam/index.ts'
import type { RepositoryVisibility, RequestContext } from '../../registry/index.ts'
import type { RatedCall } from '../../config/request-rates.ts'
import type { AccountId } from '../../values/account.ts'
import type { AwsError, AwsErrorForm, WireCode } from './errors.ts'
import type { Shape, Violation } from './shapes.ts'

/** A verified, decoded request, as an operation sees it beside its input. */
export interface AwsCall {
  readonly context: RequestContext
  /** The host and port the client addressed, for answers that name this server. */
  readonly host: string
  /** True if the client's own connection is encrypted. */
  readonly secure: boolean
  /** Aborted when the client goes away. */
  readonly signal: AbortSignal
  /** What a listing of repositories may show (`listsRepositories`); undefined: everything. */
  readonly visibility?: RepositoryVisibility | undefined
  /**
   * Requires a right beyond the operation's own, such as `ecr:TagResource` for a repository with tags.
   * @param conditions as `AwsOperation.conditions`
   * @throws PlatformError 'access-denied'
   */
  authorize(action: string, resource: string, conditions?: () => OperationConditions): Promise<void>
  /**
   * As `authorize`, for what a call does only where it may. `as` asks for somebody else than the caller, `repositoryPolicy`
   * asks what would be if that were the repository's policy.
   */
  allows(
    action: string,
    resource: string,
    options?: { readonly conditions?: () => OperationConditions; readonly as?: Principal; readonly repositoryPolicy?: string },
  ): Promise<boolean>
  /**
   * Asks again for the operation's own right, after something was made that has policies or tags of its own.
   * @throws PlatformError 'access-denied'
   */
  requireAnew(): Promise<void>
}

/**
 * Condition keys with which a call has to be allowed: once for each member of the list, and once without any where it
 * is empty. A call that touches several things a policy can tell apart (the tags of images) names each in a member of
 * its own, so that no right to one of them stands for another.
 */
export type OperationConditions = readonly AuthorizationContext[] | Promise<readonly AuthorizationContext[]>

/** An operation of an AWS service: everything about it that the dispatcher has to know. */
export interface AwsOperation<I = unknown, O = unknown> {
  /** The IAM action it needs, such as `ecr:PutImage`. */
  readonly action: string
  /** The ARN it needs the action on, or `*`. */
  resource(input: NoInfer<I>, call: AwsCall): string | Promise<string>
  /**
   * Condition keys that only this operation knows, such as `aws:RequestTag/<key>`, beside those of every request. Asked
   * only where a policy has conditions.
   */
  conditions?(input: NoInfer<I>, call: AwsCall): OperationConditions
  /**
   * True for a listing of the repositories that `resource` names as `…:repository/*`: a caller who has the right to some of
   * them is shown those.
   */
  listsRepositories?(input: NoInfer<I>): boolean
  readonly input: Shape<I>
  /**
   * Does the work. The output is encoded as it is: dates, bytes and maps in the protocol's way, undefined
   * members left out. Throws domain errors, or an AwsError where ECR has a text of its own.
   */
  handler(call: AwsCall, input: NoInfer<I>): Promise<O>
  /** How many images the answer gives to whoever pulls them. */
  pulls?(output: Awaited<NoInfer<O>>): number
  /** The largest request body, compressed or not; 1 MiB where it says nothing. */
  readonly maxBodyBytes?: number
  /** The most members and elements of an input, where it may be more than others. */
  readonly maxInputValues?: number
  /** Domain errors that mean something else here than in the common table. */
  readonly errors?: Partial<Record<WireCode, AwsErrorForm>>
  /** For operations that any authenticated caller may use whatever the policies say, like GetCallerIdentity. */
  readonly openToEveryCaller?: true
}

/** A request that nobody signed, as an operation for such sees it beside its input. */
export interface UnsignedCall {
  readonly requestId: string
  readonly sourceIp: string
  /** True if the client's own connection is encrypted. */
  readonly secure: boolean
  readonly userAgent: string
}

/**
 * An operation whose callers prove who they are by something in its input, such as AssumeRoleWithWebIdentity. It has no
 * principal, and so nothing that it could authorise: it judges its input itself. Throws as other operations do.
 */
export interface UnsignedOperation<I = unknown, O = unknown> {
  /** The IAM action that it stands for. */
  readonly action: string
  /**
   * The account that the input is about, whether there is one or not: whose turn it is.
   * Throws what `handler` would throw for an input that is about none.
   */
  accountOf(input: NoInfer<I>): AccountId
  /** What it counts as; nothing where it says nothing. */
  readonly calls?: readonly RatedCall[]
  readonly input: Shape<I>
  handler(call: UnsignedCall, input: NoInfer<I>): Promise<O>
  readonly errors?: Partial<Record<WireCode, AwsErrorForm>>
}

/** Lets an unsigned operation be written with its input's type taken from its shape. */
export function unsignedOperation<I, O>(definition: UnsignedOperation<I, O>): UnsignedOperation {
  return definition
}

/** Lets an operation be written with its input's type taken from its shape. */
export function operation<I, O>(definition: AwsOperation<I, O>): AwsOperation {
  return definition
}

interface ServiceBase {
  /** Goes into the request context, metrics and logs. */
  readonly name: RequestContext['protocol']
  /** What settings of AWS's clients call it, as in `AWS_ENDPOINT_URL_<name>`, where that is not `name`. */
  readonly settingsName?: string
  /** The service in a signature's credential scope. */
  readonly signingName: string
  /** By name; unknown names get the protocol's "unknown operation". */
  readonly operations: Readonly<Record<string, AwsOperation>>
  /**
   * Operations for callers whose temporary credentials are their own, from GetSessionToken; absent: all of them. Such
   * credentials would need a second factor to show, and there are none here.
   */
  readonly openToSessionTokens?: readonly string[]
  /** The account whose registry an input names, where that need not be the caller's own. */
  readonly accountOf?: (input: unknown) => AccountId | undefined
  /** How a refusal names what an input is about, where its ARN would tell more than the input does. */
  readonly resourceText?: (action: string, resource: string, input: unknown) => string | undefined
  /** What a failure of the server is called where the service's model has a name of its own for it. */
  readonly serverFault?: string
  /**
   * For a service that has more protocols than Query: the codes that its errors have in that one, where they differ from their
   * names. Clients of the others are told them in a header. https://smithy.io/2.0/aws/protocols/aws-query-protocol.html
   */
  readonly queryCodes?: Readonly<Record<string, string>>
  /** How broken constraints are answered; as ECR does where it is absent. */
  readonly invalidInput?: (violations: readonly Violation[]) => AwsError
}

export interface JsonService extends ServiceBase {
  readonly protocol: 'json'
  /** What precedes the operation's name in X-Amz-Target, without the dot. */
  readonly targetPrefix: string
  /** What some clients put there instead. */
  readonly otherTargetPrefixes?: readonly string[]
}

export interface QueryService extends ServiceBase {
  readonly protocol: 'query'
  /** The Version parameter, e.g. `2011-06-15`. */
  readonly apiVersion: string
  readonly xmlns: string
  /** The most parameters of a form, where there may be more than usual. */
  readonly maxParameters?: number
  /** Operations that take no signature, by name; a request that is signed all the same has to be signed rightly. */
  readonly unsignedOperations?: Readonly<Record<string, UnsignedOperation>>
}

/** Smithy's RPC v2 in CBOR. https://smithy.io/2.0/additional-specs/protocols/smithy-rpc-v2.html */
export interface CborService extends ServiceBase {
  readonly protocol: 'cbor'
  /** The service's name in a request's path. */
  readonly shapeName: string
  /** Members of its outputs that are whole numbers; all others are floating-point. */
  readonly integers: ReadonlySet<string>
}

export type AwsService = JsonService | QueryService | CborService
