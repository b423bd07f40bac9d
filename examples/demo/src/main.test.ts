import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { VetReport } from '@imagevet/core';
import { afterAll, describe, expect, test } from 'vitest';
import { available, dockerHost } from '../../../test/services.ts';
import { main } from './main.ts';

const directory = mkdtempSync(join(tmpdir(), 'imagevet-demo-'));
afterAll(() => rmSync(directory, { recursive: true, force: true }));

const NOWHERE = 'unix:///nowhere.sock';

/** Runs the demonstration as `npm run demo` does. */
async function demo(
  name: string,
  parameters: readonly string[],
  options: { readonly dockerHost?: string; readonly onText?: (text: string) => void; signal?: AbortSignal },
) {
  const output = join(directory, name);
  let stdout = '';
  const code = await main([...parameters, '--output', output], {
    stdout: (text) => {
      stdout += text;
      options.onText?.(text);
    },
    env: { DOCKER_HOST: options.dockerHost },
    signal: options.signal ?? new AbortController().signal,
  });
  expect(stdout).not.toMatch(/^\s+at .+:\d+:\d+\)?$/m);
  return { code, stdout, output };
}

function readReport(output: string): VetReport {
  expect(readFileSync(join(output, 'report.html'), 'utf8')).toContain('<svg');
  expect(readFileSync(join(output, 'report.md'), 'utf8')).toContain('press');
  return JSON.parse(readFileSync(join(output, 'report.json'), 'utf8')) as VetReport;
}

describe('main() without an engine', () => {
  test('ends with 0, plans the rebuild only, and says what was not checked', async () => {
    const { code, stdout, output } = await demo('planned', [], { dockerHost: NOWHERE });
    expect(code).toBe(0);
    expect(stdout).toMatch(/^No Docker Engine answers \(.+\): the rebuild is planned only\.$/m);
    expect(stdout).toContain('DENY');
    expect(stdout).toContain('Not checked');
    expect(stdout).toMatch(/^Report: file:\/\/.+report\.html$/m);
    const report = readReport(output);
    expect(report.verdict).toMatchObject({ decision: 'deny', complete: false });
    expect(report.verdict.pinned).toBeUndefined();
    expect(report.plan?.steps).toHaveLength(3);
    expect(report.rebuild).toBeUndefined();
    expect(report.endorsements).toEqual([]);
    expect(report.gaps.map(({ code: gap }) => gap)).toContain('NO_BUILDER');
  });

  test('interrupted, ends with 130 and writes no report', async () => {
    const interrupt = new AbortController();
    const { code, stdout, output } = await demo('interrupted', [], {
      dockerHost: NOWHERE,
      signal: interrupt.signal,
      onText: (text) => {
        if (text === 'lineage\n') interrupt.abort(new Error('interrupted'));
      },
    });
    expect(code).toBe(130);
    expect(stdout).toMatch(/Interrupted\.\n$/);
    expect(existsSync(output)).toBe(false);
  });
});

describe.skipIf(!available('docker-engine'))('main() with a Docker Engine', () => {
  test('rebuilds, compares and signs, and allows', async () => {
    const { code, stdout, output } = await demo('allowed', [], { dockerHost });
    expect(code).toBe(0);
    expect(stdout).toMatch(/^Docker Engine .+: the rebuild is real\.$/m);
    const report = readReport(output);
    expect(report.verdict).toMatchObject({ decision: 'allow', complete: true });
    expect(report.verdict.pinned).toMatch(/\/vetted\/library\/press@sha256:[0-9a-f]{64}$/);
    expect(stdout).toContain(report.verdict.pinned);
    expect(report.endorsements.map(({ verified }) => verified)).toEqual([true, true, true]);
  }, 120_000);

  test('--tampered is denied for the file no source mentions', async () => {
    const { code, stdout, output } = await demo('tampered', ['--tampered'], { dockerHost });
    expect(code).toBe(0);
    expect(stdout).toContain('DENY');
    expect(stdout).toContain('/usr/local/bin/.maintenance');
    const report = readReport(output);
    expect(report.verdict).toMatchObject({ decision: 'deny', complete: true });
    expect(report.verdict.pinned).toBeUndefined();
    expect(report.endorsements).toEqual([]);
  }, 120_000);
});
