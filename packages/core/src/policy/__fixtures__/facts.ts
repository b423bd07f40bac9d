import { type Digest, digestOf, type ImageReference, type ResolvedImage } from '@imagevet/registry';
import type { Finding } from '../../audit/types.ts';
import type { Comparison } from '../../compare/types.ts';
import type { EdgeEvidence, LineageEdge, LineageNode, ProvenanceClaim } from '../../lineage/types.ts';
import type { RebuildOutcome, RebuildPlan, RebuildResult, RebuildStep } from '../../rebuild/types.ts';
import type { Facts } from '../types.ts';

// A family of our own, in the shape of wordpress <- php <- debian: invented commits, texts and digests.

export const platform = { os: 'linux', architecture: 'amd64' } as const;

export const debian: ImageReference = image('docker.io', 'library/debian', 'stretch-slim');
export const php: ImageReference = image('docker.io', 'library/php', '7.2-apache');
export const wordpress: ImageReference = image('docker.io', 'library/wordpress', '4.9');

export function image(registry: string, repository: string, tag: string): ImageReference {
  return { registry, repository, tag };
}

export function idOf(reference: ImageReference): string {
  return `${reference.registry}/${reference.repository}:${reference.tag} linux/amd64`;
}

/** One image of a sample family. */
export interface Member {
  readonly reference: ImageReference;
  readonly repository: string;
  readonly path: string;
  readonly dockerfile: string;
}

const DEBIAN_DOCKERFILE = `FROM scratch
ADD rootfs.tar.xz /
CMD ["bash"]
`;

const PHP_DOCKERFILE = `FROM debian:stretch-slim

# what every extension needs
RUN apt-get update \\
 && apt-get install -y --no-install-recommends ca-certificates curl xz-utils \\
 && rm -rf /var/lib/apt/lists/*

ENV PHP_VERSION=7.2.1 PHP_URL=https://php.example/php-7.2.1.tar.xz
ENV PHP_SHA256=6c6cf82fda6660ed963821eb0525214bb3547e8e29f447b9c15b2d8e6efd8822

RUN curl -fsSL -o /tmp/php.tar.xz "$PHP_URL" \\
 && echo "$PHP_SHA256  /tmp/php.tar.xz" | sha256sum -c - \\
 && tar -xJf /tmp/php.tar.xz -C /usr/src

COPY apache2-foreground /usr/local/bin/
EXPOSE 80
CMD ["apache2-foreground"]
`;

const WORDPRESS_DOCKERFILE = `FROM php:7.2-apache

RUN docker-php-ext-install mysqli opcache

VOLUME /var/www/html

ENV WORDPRESS_VERSION=4.9.1
RUN curl -fsSL -o wordpress.tar.gz https://press.example/wordpress-4.9.1.tar.gz \\
 && tar -xzf wordpress.tar.gz -C /usr/src/ \\
 && rm wordpress.tar.gz

COPY docker-entrypoint.sh /usr/local/bin/
ENTRYPOINT ["docker-entrypoint.sh"]
CMD ["apache2-foreground"]
`;

/** The image asked about first, its base next. */
export const family: readonly Member[] = [
  {
    reference: wordpress,
    repository: 'https://github.com/docker-library/wordpress',
    path: 'php7.2/apache/Dockerfile',
    dockerfile: WORDPRESS_DOCKERFILE,
  },
  {
    reference: php,
    repository: 'https://github.com/docker-library/php',
    path: '7.2/stretch/apache/Dockerfile',
    dockerfile: PHP_DOCKERFILE,
  },
  {
    reference: debian,
    repository: 'https://github.com/debuerreotype/docker-debian-artifacts',
    path: 'stretch/slim/Dockerfile',
    dockerfile: DEBIAN_DOCKERFILE,
  },
];

/** Facts about which there is nothing to complain. */
export function soundFacts(members: readonly Member[] = family): Facts {
  const nodes = members.map((member, index) => nodeOf(member, members.length - index));
  const steps = members.map((member, index) => stepOf(member, nodes[index]!)).reverse();
  const plan: RebuildPlan = { id: digestOf(`plan ${members.length}`), platform, steps, gaps: [] };
  const outcomes = steps.map(builtOutcome);
  const rebuild: RebuildResult = { plan: plan.id, engine: { name: 'Docker Engine', version: '28.5.2' }, outcomes };
  const comparisons: Record<string, Comparison> = {};
  for (const step of steps) comparisons[step.id] = comparisonOf(step);
  return {
    requested: familiar(members[0]!.reference),
    lineage: {
      root: nodes[0]!.id,
      platform,
      nodes: nodes.map((node, index) => (index === nodes.length - 1 ? { ...node, end: 'scratch' as const } : node)),
      edges: nodes.slice(1).map((node, index) => baseEdge(nodes[index]!, node)),
      conflicts: [],
      gaps: [],
    },
    findings: [],
    plan,
    rebuild,
    comparisons,
    gaps: [],
  };
}

export function familiar({ registry, repository, tag }: ImageReference): string {
  return registry === 'docker.io' ? `${repository.replace(/^library\//, '')}:${tag}` : `${registry}/${repository}:${tag}`;
}

export function commitOf(member: Pick<Member, 'repository'>): string {
  return digestOf(`commit ${member.repository}`).slice(7, 47);
}

export function nodeOf(member: Member, layers: number): LineageNode {
  const { reference, repository, path, dockerfile } = member;
  const directory = path.split('/').slice(0, -1).join('/') || '.';
  const location = { repository, commit: commitOf(member), directory, path, ref: 'refs/heads/master' };
  const url = `${repository}/blob/${location.commit}/${path}`;
  const claim: ProvenanceClaim = {
    kind: 'official-images',
    foundAt: `https://github.com/docker-library/official-images/blob/${digestOf('official-images').slice(7, 47)}/${reference.repository}`,
    location,
    asOf: '2018-01-04T00:00:00Z',
  };
  const hub: ProvenanceClaim = {
    kind: 'docker-hub-description',
    foundAt: `https://hub.docker.com/v2/repositories/${reference.repository}`,
    location,
    heuristic: true,
  };
  return {
    id: idOf(reference),
    reference,
    platform,
    image: resolved(reference, layers),
    claims: [claim, hub],
    dockerfile: {
      status: 'found',
      location,
      kind: 'official-images',
      url,
      text: dockerfile,
      digest: digestOf(dockerfile),
      reachability: 'reachable',
      consistency: 'consistent',
    },
  };
}

export function resolved(reference: ImageReference, layers: number): ResolvedImage {
  const name = `${reference.repository}:${reference.tag}`;
  const digest = (what: string): Digest => digestOf(`${name} ${what}`);
  const manifestType = 'application/vnd.oci.image.manifest.v1+json';
  return {
    reference,
    index: { mediaType: 'application/vnd.oci.image.index.v1+json', digest: digest('index'), size: 1_862 },
    manifest: { mediaType: manifestType, digest: digest('manifest'), size: 2_404 },
    config: { mediaType: 'application/vnd.oci.image.config.v1+json', digest: digest('config'), size: 7_330 },
    layers: Array.from({ length: layers }, (_, index) => ({
      mediaType: 'application/vnd.oci.image.layer.v1.tar+gzip',
      digest: digest(`layer ${index}`),
      size: 22_486_277 >> index,
    })),
    platform,
    diffIds: Array.from({ length: layers }, (_, index) => digestOf(`diff ${index}`)),
    history: [],
    created: '2018-01-02T23:41:08Z',
    annotations: {},
    labels: {},
    execution: {},
  };
}

export function baseEdge(child: LineageNode, parent: LineageNode): LineageEdge {
  const name = familiar(parent.reference);
  const evidence: EdgeEvidence[] = [
    {
      kind: 'layers',
      verdict: 'supports',
      message: `the child begins with the layers of ${name}: ${parent.image?.diffIds.length ?? 0} of ${child.image?.diffIds.length ?? 0}`,
    },
    { kind: 'dockerfile', verdict: 'supports', message: `FROM ${name}` },
  ];
  return { kind: 'base', from: child.id, to: parent.id, name, line: 1, grade: 'proven', evidence };
}

export function stepOf(member: Member, node: LineageNode): RebuildStep {
  return {
    id: node.id,
    key: 'c'.repeat(64),
    reference: node.reference,
    platform,
    location: node.dockerfile.location!,
    dockerfile: member.dockerfile,
    inputs: [],
    original: node.image!.manifest.digest,
    target: { ...node.reference, registry: 'registry.internal', repository: `vetted/${node.reference.repository}` },
    scratch: { registry: 'registry.internal', repository: `vetted-scratch/${node.reference.repository}` },
  };
}

export function builtOutcome(step: RebuildStep): Extract<RebuildOutcome, { status: 'built' }> {
  const digest = digestOf(`rebuilt ${step.id}`);
  return {
    step: step.id,
    status: 'built',
    image: {
      reference: { ...step.scratch, digest },
      descriptor: { mediaType: 'application/vnd.oci.image.manifest.v1+json', digest, size: 2_404 },
      diffIds: [],
      imageId: digestOf(`rebuilt config ${step.id}`),
    },
    durationMs: 41_250,
  };
}

export function comparisonOf(step: RebuildStep, changes: Partial<Comparison> = {}): Comparison {
  return {
    original: { reference: familiar(step.reference), digest: step.original! },
    rebuilt: { reference: familiar(step.target), digest: digestOf(`rebuilt ${step.id}`) },
    grade: 'same-content',
    files: { compared: 8_213, equal: 8_004, timestampsOnly: 209 },
    differences: [],
    truncated: false,
    config: [],
    ...changes,
  };
}

export function finding(changes: Partial<Finding> = {}): Finding {
  const node = family[0]!;
  return {
    id: digestOf('finding VET011 wordpress').slice(7, 23),
    rule: 'VET011',
    severity: 'high',
    title: 'Download without verification',
    message: 'curl fetches wordpress-4.9.1.tar.gz and nothing checks it',
    remediation: 'Pin the sha256 of the archive and check it in the same RUN.',
    node: idOf(node.reference),
    source: { repository: node.repository, commit: commitOf(node), directory: 'php7.2/apache', path: node.path },
    lines: { startLine: 8, endLine: 10 },
    excerpt: 'RUN curl -fsSL -o wordpress.tar.gz https://press.example/wordpress-4.9.1.tar.gz',
    ...changes,
  };
}
