import { digestOf } from '@imagevet/registry';
import type { Finding } from '../../audit/types.ts';
import type { LineageEdge } from '../../lineage/types.ts';
import {
  comparisonOf,
  commitOf,
  familiar,
  family,
  finding,
  idOf,
  image,
  type Member,
  nodeOf,
  php,
  soundFacts,
  wordpress,
} from '../../policy/__fixtures__/facts.ts';
import { defaultPolicy } from '../../policy/default-policy.ts';
import { evaluate } from '../../policy/evaluate.ts';
import type { Facts, PolicyException } from '../../policy/types.ts';
import type { VetReport } from '../types.ts';

const time = new Date('2026-11-23T12:00:00Z');

/** A report of what the default policy makes of the facts. */
export function reportOf(
  facts: Facts,
  changes: Partial<VetReport> = {},
  exceptions: readonly PolicyException[] = [],
): VetReport {
  return {
    apiVersion: 'imagevet/v1',
    kind: 'VetReport',
    endorsements: [],
    ...facts,
    lineage: { asOf: '2018-01-04T00:00:00Z', ...facts.lineage },
    startedAt: '2026-11-23T11:57:12Z',
    finishedAt: '2026-11-23T12:00:03Z',
    verdict: evaluate(defaultPolicy, exceptions, facts, time),
    ...changes,
  };
}

const [top, middle] = [idOf(wordpress), idOf(php)];
const sound = soundFacts();

const mild: readonly Finding[] = [
  finding({
    id: 'aa01',
    rule: 'VET001',
    severity: 'medium',
    title: 'Base image not pinned by digest',
    message: 'FROM php:7.2-apache names a tag, which may be another image tomorrow',
    remediation: 'The rebuild pins it to the rebuilt parent.',
    lines: { startLine: 1, endLine: 1 },
    excerpt: 'FROM php:7.2-apache',
  }),
  finding({
    id: 'aa02',
    rule: 'VET050',
    severity: 'medium',
    node: middle,
    title: 'Runs as root',
    message: 'no USER instruction; processes start as root',
    remediation: undefined,
    lines: { startLine: 17, endLine: 17 },
    excerpt: 'CMD ["apache2-foreground"]',
  }),
];

/** Everything holds; rebuilt, compared, signed. */
export function allowReport(): VetReport {
  const step = sound.plan!.steps.find(({ id }) => id === middle)!;
  const comparisons = {
    ...sound.comparisons,
    [middle]: comparisonOf(step, {
      grade: 'explained',
      files: { compared: 12_604, equal: 12_371, timestampsOnly: 229 },
      differences: [
        {
          path: '/var/cache/ldconfig/aux-cache',
          change: 'changed',
          aspects: ['content'],
          original: digestOf('aux 1'),
          rebuilt: digestOf('aux 2'),
          explanation: 'cache of the dynamic linker, holds inode numbers and times',
          origin: { side: 'rebuilt', layer: 2, instruction: { line: 7, keyword: 'RUN' } },
        },
        { path: '/var/log/apt/term.log', change: 'removed', aspects: [], original: digestOf('log'), explanation: 'log of the build' },
      ],
      config: [
        {
          field: 'Env.PHP_INI_DIR',
          original: '/usr/local/etc/php',
          rebuilt: '/etc/php',
          explanation: 'the base image sets it',
          origin: { side: 'rebuilt', inherited: true },
        },
      ],
      packages: [
        { manager: 'dpkg', name: 'libssl1.1', architecture: 'amd64', original: '1.1.0f-3', rebuilt: '1.1.0f-3+deb9u1' },
      ],
    }),
  };
  const endorsement: VetReport['endorsements'][number] = {
    node: sound.lineage.root,
    collection: 'registry.internal/vetted/library/wordpress',
    server: 'https://notary.internal:4443',
    tags: ['4.9', '4.9-20261123-5a1f03c2'],
    digest: digestOf(`rebuilt ${top}`),
    keyIds: [digestOf('key 1').slice(7), digestOf('key 2').slice(7)],
    expires: '2026-12-07T12:00:02Z',
    verified: true,
  };
  return reportOf({ ...sound, findings: mild, comparisons }, { endorsements: [endorsement] });
}

/** Contradiction, conflict, gone commit, severe findings, failed build, unexplained difference, waiver, expired waiver. */
export function denyReport(): VetReport {
  const [first, second, third] = sound.lineage.nodes;
  const nodes = [
    {
      ...first!,
      dockerfile: {
        ...first!.dockerfile,
        consistency: 'inconsistent' as const,
        inconsistency: { line: 12, history: 9, message: 'the history copies docker-entrypoint.sh to /usr/bin' },
      },
    },
    second!,
    {
      ...third!,
      dockerfile: { ...third!.dockerfile, status: 'commit-unreachable' as const, text: undefined, digest: undefined },
    },
  ];
  const edges: readonly LineageEdge[] = sound.lineage.edges.map((edge) =>
    edge.from === top
      ? {
          ...edge,
          grade: 'contradicted',
          evidence: [
            { kind: 'dockerfile', verdict: 'supports', message: 'FROM php:7.2-apache' },
            {
              kind: 'layers',
              verdict: 'refutes',
              message: 'layer 3 of the child is not layer 3 of php:7.2-apache',
              foundAt: 'https://registry.example/v2/library/php/manifests/7.2-apache',
            },
          ],
        }
      : { ...edge, grade: 'claimed', evidence: edge.evidence.slice(1) },
  );
  const step = sound.plan!.steps.find(({ id }) => id === middle)!;
  const outcomes = sound.rebuild!.outcomes.map((outcome) =>
    outcome.step === middle
      ? outcome
      : outcome.step === top
        ? {
            step: top,
            status: 'failed' as const,
            code: 'BUILD_FAILED',
            message: 'RUN curl ended with exit code 22',
            line: 8,
            log: [
              'Step 5/9 : RUN curl -fsSL -o wordpress.tar.gz https://press.example/wordpress-4.9.1.tar.gz',
              ' ---> Running in 1f6b0c2f3a77',
              'curl: (22) The requested URL returned error: 404',
            ],
            durationMs: 7_340,
          }
        : outcome,
  );
  const findings = [
    ...mild,
    finding(),
    finding({
      id: 'bb01',
      rule: 'VET040',
      severity: 'critical',
      node: middle,
      title: 'Secret in the environment',
      message: 'ENV PHP_URL carries a token in its query',
      remediation: 'Pass it as a build secret, and revoke it.',
      lines: { startLine: 8, endLine: 9 },
      excerpt: 'ENV PHP_VERSION=7.2.1 PHP_URL=https://php.example/php-7.2.1.tar.xz\nENV PHP_SHA256=6c6cf82fda66',
    }),
  ];
  const { [top]: _top, ...comparisons } = sound.comparisons;
  const facts: Facts = {
    ...sound,
    lineage: {
      ...sound.lineage,
      nodes,
      edges,
      conflicts: [
        {
          node: middle,
          about: 'source',
          statements: [
            {
              kind: 'official-images',
              foundAt: 'https://github.com/docker-library/official-images/blob/master/library/php',
              value: `https://github.com/docker-library/php@${commitOf(family[1]!)}`,
            },
            {
              kind: 'image-label',
              foundAt: digestOf('config'),
              value: 'https://github.com/stranger/php@0123456789abcdef0123456789abcdef01234567',
            },
          ],
        },
      ],
      gaps: [
        {
          stage: 'provenance',
          code: 'SOURCE_COMMIT_NOT_FOUND',
          message: 'the commit is no longer in https://github.com/debuerreotype/docker-debian-artifacts',
          node: third!.id,
          hint: 'Force-pushed branches lose their old commits; look in an archive.',
        },
      ],
    },
    findings,
    rebuild: { ...sound.rebuild!, outcomes },
    comparisons: {
      ...comparisons,
      [middle]: comparisonOf(step, {
        grade: 'unexplained',
        differences: [
          {
            path: '/usr/local/bin/php',
            change: 'changed',
            aspects: ['content', 'size'],
            original: digestOf('php 1'),
            rebuilt: digestOf('php 2'),
          },
          { path: '/var/log/dpkg.log', change: 'changed', aspects: ['content'], explanation: 'log of the build' },
        ],
      }),
    },
  };
  const waiver = (id: string, term: string, expires: string): PolicyException => ({
    apiVersion: 'imagevet/v1',
    kind: 'Exception',
    id,
    rule: 'audit.max-severity',
    term,
    digest: first!.image!.manifest.digest,
    reason: 'the archive is checked downstream',
    approvedBy: 'platform-security',
    expires,
  });
  return reportOf(facts, {}, [
    waiver('EX-2026-0142', finding().id, '2026-12-31T00:00:00Z'),
    waiver('EX-2026-0099', 'bb01', '2026-11-01T00:00:00Z'),
  ]);
}

/** No engine answered: planned, not rebuilt, not compared. */
export function incompleteReport(): VetReport {
  const { rebuild: _rebuild, ...facts } = sound;
  return reportOf({
    ...facts,
    findings: mild,
    comparisons: {},
    gaps: [
      {
        stage: 'rebuild',
        code: 'ENGINE_UNREACHABLE',
        message: 'no Docker Engine answers at unix:///var/run/docker.sock',
        hint: 'Start Docker, or name another engine.',
      },
      { stage: 'compare', code: 'NOTHING_REBUILT', message: 'nothing was rebuilt, so nothing was compared' },
    ],
  });
}

/** Twelve images: a row of six, with side inputs that have bases of their own, one shared. */
export function largeReport(): VetReport {
  const named = (repository: string, tag: string): Member => ({
    reference: image('docker.io', repository, tag),
    repository: `https://github.com/${repository.startsWith('library/') ? `docker-library/${repository.slice(8)}` : repository}`,
    path: `${tag}/Dockerfile`,
    dockerfile: 'FROM scratch\n',
  });
  const members = [
    named('acme-industries/customer-relationship-management-platform-backend-with-workers', '2026.11.3-alpine3.22-arm64-hardened'),
    named('library/node', '24-alpine3.22'),
    named('acme/base-with-certificates', '9'),
    named('library/buildpack-deps', 'trixie-scm'),
    named('library/debian', 'trixie-slim'),
    named('library/debian', 'trixie-20261110'),
    named('library/golang', '1.26-alpine'),
    named('library/alpine', '3.22'),
    named('library/composer', '2'),
    named('library/php', '8.4-cli-alpine'),
    named('docker/dockerfile', '1.20'),
    named('tonistiigi/xx', '1.6.1'),
  ];
  const nodes = members.map((member, index) => {
    const node = nodeOf(member, 3);
    // A frontend is named, not followed.
    const dockerfile = { status: 'not-named', reachability: 'unchecked', consistency: 'unchecked' } as const;
    if (index === 10) return { ...node, image: undefined, claims: [], dockerfile };
    return index === 5 || index === 7 || index === 11 ? { ...node, end: 'scratch' as const } : node;
  });
  const edge = (from: number, to: number, kind: LineageEdge['kind'], grade: LineageEdge['grade'], line?: number): LineageEdge => ({
    kind,
    from: nodes[from]!.id,
    to: nodes[to]!.id,
    name: familiar(members[to]!.reference),
    ...(line === undefined ? {} : { line }),
    grade,
    evidence: [{ kind: 'dockerfile', verdict: 'supports', message: `names ${familiar(members[to]!.reference)}` }],
  });
  const facts: Facts = {
    ...soundFacts(),
    requested: familiar(members[0]!.reference),
    lineage: {
      root: nodes[0]!.id,
      platform: nodes[0]!.platform,
      nodes,
      edges: [
        edge(0, 1, 'base', 'proven', 14),
        edge(1, 2, 'base', 'attested', 1),
        edge(2, 3, 'base', 'claimed', 1),
        edge(3, 4, 'base', 'unknown', 1),
        edge(4, 5, 'base', 'proven', 1),
        edge(0, 6, 'stage', 'claimed', 3),
        edge(6, 7, 'base', 'proven', 1),
        edge(0, 8, 'copy-from', 'contradicted', 22),
        edge(8, 9, 'base', 'attested', 2),
        edge(9, 7, 'base', 'proven', 1),
        edge(0, 10, 'frontend', 'claimed', 1),
        edge(6, 11, 'mount-from', 'unknown', 9),
      ],
      conflicts: [],
      gaps: [],
    },
    findings: [finding({ node: nodes[0]!.id }), finding({ id: 'x', node: nodes[3]!.id, severity: 'low' })],
    plan: undefined,
    rebuild: undefined,
    comparisons: {},
  };
  return reportOf(facts);
}

/** One image, built from scratch. */
export function singleReport(): VetReport {
  return reportOf(soundFacts([family[2]!]));
}
