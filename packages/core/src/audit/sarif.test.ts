import { expect, test } from 'vitest';
import { lineage, NOW, node, PINNED } from './__fixtures__/hits.ts';
import { auditLineage } from './audit.ts';
import { renderSarif } from './sarif.ts';

const family = lineage([
  node('app:1', `${PINNED}\nRUN set -e; \\\n  curl https://e.example/i | sh`),
  node('base:1', undefined),
]);
const findings = auditLineage(family, { now: NOW, disable: ['VET050'] });

interface Log {
  readonly $schema: string;
  readonly version: string;
  readonly runs: readonly {
    readonly tool: {
      readonly driver: { readonly name: string; readonly rules: readonly { readonly id: string }[] };
    };
    readonly originalUriBaseIds: Readonly<Record<string, { readonly uri: string }>>;
    readonly versionControlProvenance: readonly object[];
    readonly results: readonly {
      readonly ruleId: string;
      readonly ruleIndex: number;
      readonly level: string;
      readonly message: { readonly text: string };
      readonly locations: readonly {
        readonly physicalLocation: {
          readonly artifactLocation: { readonly uri: string; readonly uriBaseId?: string };
          readonly region?: { readonly startLine: number; readonly endLine: number };
        };
        readonly logicalLocations: readonly object[];
      }[];
      readonly partialFingerprints: Readonly<Record<string, string>>;
    }[];
  }[];
}

test('renderSarif() has the structure SARIF 2.1.0 asks for', () => {
  const log: Log = JSON.parse(renderSarif(family, findings));
  expect(log.version).toBe('2.1.0');
  const [run] = log.runs;
  expect(run!.results).toHaveLength(findings.length);
  for (const result of run!.results) {
    expect(run!.tool.driver.rules[result.ruleIndex]!.id).toBe(result.ruleId);
    expect(['error', 'warning', 'note']).toContain(result.level);
    expect(result.message.text).not.toBe('');
    expect(result.locations).toHaveLength(1);
    const { artifactLocation, region } = result.locations[0]!.physicalLocation;
    expect(artifactLocation.uri).toMatch(/^[^/][\w./%-]*$/);
    if (artifactLocation.uriBaseId !== undefined) {
      expect(run!.originalUriBaseIds[artifactLocation.uriBaseId]!.uri).toMatch(/^https:.*\/$/);
    }
    if (region !== undefined) expect(region.endLine).toBeGreaterThanOrEqual(region.startLine);
    expect(Object.values(result.partialFingerprints)).toEqual([expect.stringMatching(/^[0-9a-f]{16}$/)]);
  }
});

test('renderSarif() points at the line in the repository that owns it', () => {
  const log: Log = JSON.parse(renderSarif(family, findings, { version: '1.2.3' }));
  const [piped] = log.runs[0]!.results;
  expect(piped).toMatchObject({
    ruleId: 'VET010',
    level: 'error',
    locations: [
      {
        physicalLocation: {
          artifactLocation: { uri: 'app/1/Dockerfile', uriBaseId: 'REPOSITORY_1' },
          region: { startLine: 3, endLine: 3 },
        },
        logicalLocations: [{ fullyQualifiedName: 'docker.io/library/app:1 linux/amd64' }],
      },
    ],
  });
  expect(log.runs[0]!.versionControlProvenance).toEqual([
    {
      repositoryUri: 'https://github.com/example/images',
      revisionId: '0123456789abcdef0123456789abcdef01234567',
      mappedTo: { uriBaseId: 'REPOSITORY_1' },
    },
  ]);
});

test('renderSarif() gives the same bytes for the same findings', () => {
  expect(renderSarif(family, findings)).toBe(renderSarif(family, findings));
});
