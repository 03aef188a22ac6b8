/** Operations that no call brings to a good end, with the reason. */
export const neverSucceeds: Readonly<Record<string, string>> = {
  'ecr.StartImageScan': 'there is no scanner',
  'ecr.DescribeImageScanFindings': 'there is no scanner',
  'iam.GetLoginProfile': 'nobody has a password',
  'iam.DeleteLoginProfile': 'nobody has a password',
  'iam.GetAccountPasswordPolicy': 'nobody has a password',
}

/** Waiters that no call brings to a good end, with the reason. */
export const neverWaited: Readonly<Record<string, string>> = {
  'cloudwatch.CompositeAlarmExists': 'an alarm is on one metric',
  'cloudwatch.LogAlarmExists': 'an alarm is on one metric',
}

interface Reason {
  readonly errors: readonly string[]
  /** Of `service.operation`; default: of every operation. */
  readonly operations?: RegExp
  readonly why: string
}

/** Exceptions of the clients' models that no call of the table brings about. */
export const notRaised: readonly Reason[] = [
  { errors: ['ServerException', 'ServiceFailureException', 'InternalException', 'InternalServiceFault', 'ServiceUnavailableException'], why: 'a server without faults has none' },
  { errors: ['KmsException'], why: 'keys of KMS are refused: no repository has one' },
  {
    errors: ['UnableToGetUpstreamImageException', 'UnableToGetUpstreamLayerException', 'UnableToListUpstreamImageReferrersException'],
    why: 'no repository is the cache of another registry',
  },
  { errors: ['ValidationException'], operations: /^ecr\.(?!StartImageScan$)/, why: 'ECR says InvalidParameterException of what breaks its model' },
  {
    errors: ['InvalidParameterException'],
    operations: /^ecr\.(DescribeRegistry|GetRegistryPolicy|DeleteRegistryPolicy)$/,
    why: 'they have no parameters',
  },
  {
    errors: ['LimitExceededException'],
    operations: /^ecr\.(PutAccountSetting|DeregisterPullTimeUpdateExclusion|ListPullTimeUpdateExclusions)$/,
    why: 'they make nothing more',
  },
  { errors: ['LimitExceededException'], operations: /^ecr\.BatchGetImage$/, why: 'it takes 16 MiB of manifests; test/aws/ecr-images.test.ts has them' },
  {
    errors: ['UnsupportedImageTypeException', 'LimitExceededException', 'ImageArchivedException'],
    operations: /^ecr\.StartImageScan$/,
    why: 'there is no scanner',
  },
  { errors: ['LifecyclePolicyPreviewInProgressException'], why: 'a preview of a few images is over before anybody can ask again' },
  { errors: ['ManagedRuleException'], why: 'no rule belongs to a service' },
  { errors: ['LimitExceededException'], operations: /^events\.PutRule$/, why: 'it takes hundreds of calls' },
  { errors: ['ConcurrentModificationException', 'OperationAbortedException'], why: 'changes wait for each other' },
  { errors: ['OperationNotPermittedException'], operations: /^cloudtrail\./, why: 'no account belongs to an organization' },
  { errors: ['LimitExceededFault'], operations: /^cloudwatch\.PutMetricAlarm$/, why: 'it takes thousands of calls' },
  { errors: ['ResourceConflict'], operations: /^cloudwatch\./, why: 'no alarm depends on another' },
  { errors: ['InvalidSequenceTokenException', 'DataAlreadyAcceptedException'], why: 'any sequence token is taken, as AWS does since 2023' },
  { errors: ['ValidationException'], operations: /^logs\.DeleteLogStream$/, why: 'what is protected is the group' },
  { errors: ['InvalidOperationException'], operations: /^logs\./, why: 'every group may be protected' },
  {
    errors: ['UnmodifiableEntityException', 'EntityTemporarilyUnmodifiableException', 'PolicyNotAttachableException'],
    why: 'no role and no policy belongs to a service',
  },
  {
    errors: ['InvalidInputException'],
    operations: /^iam\.((Get(?!ContextKeys)|List|Untag|Delete|Detach|Attach|Put|SetDefault)\w+|UpdateAccessKey|CreatePolicyVersion|(AddClientIDTo|RemoveClientIDFrom)OpenIDConnectProvider)$/,
    why: 'IAM says ValidationError of what breaks its model, and there is nothing else that could be wrong',
  },
  {
    errors: ['LimitExceededException'],
    operations: /^iam\.((Delete|Detach|Remove)\w+|Update(User|Group|AccessKey)|SetDefaultPolicyVersion|CreateAccountAlias|GenerateCredentialReport)$/,
    why: 'they make nothing more',
  },
  {
    errors: ['LimitExceededException'],
    operations: /^iam\.(CreateUser|CreateGroup)$/,
    why: 'it takes thousands of calls',
  },
  { errors: ['NoSuchEntityException'], operations: /^iam\.CreateGroup$/, why: 'it names nothing that is there' },
  { errors: ['OpenIdIdpCommunicationErrorException'], why: 'a provider is asked when a token comes, not before' },
  {
    errors: ['CredentialReportNotPresentException', 'CredentialReportExpiredException', 'CredentialReportNotReadyException'],
    why: 'a report is made when it is fetched',
  },
  { errors: ['PolicyEvaluationException'], why: 'every policy that can be read can be evaluated' },
  { errors: ['ServiceNotSupportedException'], why: 'there are no credentials for other services, whichever is named' },
  { errors: ['RegionDisabledException'], why: 'every region has its tokens' },
  { errors: ['ExpiredTokenException'], operations: /^sts\.AssumeRole$/, why: 'it takes fifteen minutes; test/aws/sts-sessions.test.ts moves the clock' },
]

/** Times of the clients' models that no answer has: of what does not exist here, of what nobody has done yet, and what IAM leaves out of lists. */
export const neverDated: readonly RegExp[] = [
  /^ecr\.DescribeImageScanFindings |imageScanFindingsSummary/,
  /^cloudwatch\.DescribeAlarms (CompositeAlarms|LogAlarms)/,
  /PasswordLastUsed$/,
  / (\w+\[\]\.)?InstanceProfile/,
  /^iam\.(List(MFADevices|SSHPublicKeys|SigningCertificates|ServiceSpecificCredentials|ServerCertificates|VirtualMFADevices|SAMLProviders)|GetLoginProfile) /,
  /^iam\.(CreateRole|UpdateRoleDescription|ListRoles|GetAccountAuthorizationDetails) .*RoleLastUsed/,
]
