import { BlockList } from 'node:net'
import type { ClientKind, ClientKindRule } from '../values/client-kind.ts'
import { matchesWildcard } from './tag-mutability.ts'

/** What is known of a client. */
export interface ClientFacts {
  readonly arn: string
  readonly userAgent: string
  readonly sourceIp: string
}

/**
 * What clients call themselves. Who the caller is comes first: docker on a runner looks like docker on a desk. What fits
 * none is a person: of all kinds the one with which an image is kept.
 */
const builtInRules: readonly ClientKindRule[] = [
  // The names that GitHub's action for AWS credentials and GitLab's documentation give to sessions.
  { kind: 'ci', principal: 'session/GitHubActions*' },
  { kind: 'ci', principal: 'session/GitLabRunner-*' },
  ...['containerd/*', 'cri-o/*', 'kubelet*', 'k3s*', 'amazon-ecs-agent*', 'podman-kube*'].map((agent) => ({ kind: 'workload' as const, agent })),
  ...['trivy*', 'grype*', 'syft*', 'clair*', 'anchore*', 'snyk*', 'dockle*', 'prisma*', 'wiz*', 'neuvector*'].map((agent) => ({ kind: 'scanner' as const, agent })),
  ...['harbor-registry-client*', 'regclient/regsync*', 'image-syncer*', 'zot/*', 'stowage-replication*'].map((agent) => ({ kind: 'replication' as const, agent })),
  ...['gitlab-runner*', '*exec-env/GitHubActions*', '*configure-aws-credentials-for-github-actions*', '*exec-env/AWS_CodeBuild*', 'buildkit/*', 'kaniko/*', 'buildah/*', 'jib*', 'tekton*', 'jenkins*'].map(
    (agent) => ({ kind: 'ci' as const, agent }),
  ),
]

/** Answers that are remembered: most pulls come from the same few clients again and again. */
const maxRemembered = 10_000

interface Compiled {
  readonly kind: ClientKind
  readonly agent: string | undefined
  readonly principal: string | undefined
  readonly network: BlockList | undefined
}

/** Tells what kind of client somebody is, by declared rules and then by those that are built in. */
export class ClientKinds {
  readonly #rules: readonly Compiled[]
  readonly #moving: ReadonlySet<ClientKind>
  readonly #remembered = new Map<string, ClientKind>()

  /** `moving`: the kinds whose pulls are use of an image. */
  constructor(declared: readonly ClientKindRule[], moving: ReadonlySet<ClientKind>) {
    this.#rules = [...declared, ...builtInRules].map(({ kind, agent, principal, network }) => {
      if (network === undefined) return { kind, agent: agent?.toLowerCase(), principal, network }
      const list = new BlockList()
      list.addSubnet(network.address, network.prefix, network.family)
      return { kind, agent: agent?.toLowerCase(), principal, network: list }
    })
    this.#moving = moving
  }

  kindOf({ arn, userAgent, sourceIp }: ClientFacts): ClientKind {
    const key = `${arn}\n${sourceIp}\n${userAgent}`
    let kind = this.#remembered.get(key)
    if (kind === undefined) {
      kind = this.#find(arn, userAgent.toLowerCase(), sourceIp)
      if (this.#remembered.size >= maxRemembered) this.#remembered.clear()
      this.#remembered.set(key, kind)
    }
    return kind
  }

  /** Whether a pull of the client is use of the image. */
  isUse(facts: ClientFacts): boolean {
    return this.#moving.has(this.kindOf(facts))
  }

  #find(arn: string, agent: string, ip: string): ClientKind {
    const names = namesOf(arn)
    const family = ip.includes(':') ? 'ipv6' : 'ipv4'
    const rule = this.#rules.find(
      (each) =>
        (each.agent === undefined || matchesWildcard(each.agent, agent)) &&
        (each.principal === undefined || names.some((name) => matchesWildcard(each.principal!, name))) &&
        (each.network === undefined || each.network.check(ip, family)),
    )
    return rule?.kind ?? 'person'
  }
}

/** What a rule may call somebody: the whole ARN, and short names without account and path. */
function namesOf(arn: string): readonly string[] {
  const parts = arn.slice(arn.lastIndexOf(':') + 1).split('/')
  switch (parts[0]) {
    case 'assumed-role':
      return [arn, `role/${parts[1]}`, `session/${parts.slice(2).join('/')}`]
    case 'user':
    case 'role':
      return [arn, `${parts[0]}/${parts.at(-1)}`]
    default:
      return [arn, parts[0] ?? '']
  }
}
