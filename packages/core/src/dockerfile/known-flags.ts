import { durationProblem } from './duration.ts';
import type { DockerfileFlag } from './types.ts';

/** What a flag takes: one text, texts of several flags of its name, or yes and no. */
type FlagKind = 'text' | 'texts' | 'yes-no';

/** Flags BuildKit knows, by instruction. Others are let stand: newer frontends add some. */
const KNOWN: Readonly<Record<string, Readonly<Record<string, FlagKind>>>> = {
  FROM: { platform: 'text' },
  ADD: {
    ...{ chown: 'text', chmod: 'text', link: 'yes-no', 'keep-git-dir': 'yes-no' },
    ...{ checksum: 'text', unpack: 'yes-no', exclude: 'texts' },
  },
  COPY: {
    ...{ chown: 'text', from: 'text', chmod: 'text', link: 'yes-no', exclude: 'texts', parents: 'yes-no' },
  },
  RUN: { mount: 'texts', network: 'text', security: 'text', device: 'texts' },
  HEALTHCHECK: {
    ...{
      interval: 'text',
      timeout: 'text',
      'start-period': 'text',
      'start-interval': 'text',
      retries: 'text',
    },
  },
};

/**
 * Refuses flags whose value BuildKit refuses.
 *
 * @see BuildKit, `frontend/dockerfile/instructions`, `BFlags.Parse` and `parseHealthcheck`
 */
export function refuseFlags(
  keyword: string,
  flags: readonly DockerfileFlag[],
  refuse: (reason: string) => void,
): void {
  const known = Object.hasOwn(KNOWN, keyword) ? KNOWN[keyword]! : {};
  const seen = new Set<string>();
  for (const { name, value, bare = false } of flags) {
    const kind = Object.hasOwn(known, name) ? known[name] : undefined;
    if (kind === undefined) continue;
    if (seen.has(name) && kind !== 'texts') refuse(`${keyword} takes --${name} once`);
    seen.add(name);
    if (kind === 'yes-no') {
      if (bare ? value !== '' : !/^(?:true|false)$/i.test(value))
        refuse(`--${name} of ${keyword} is true or false, not ${JSON.stringify(value.slice(0, 40))}`);
    } else if (bare) refuse(`--${name} of ${keyword} has no value`);
    if (keyword === 'HEALTHCHECK') refuseSetting(name, value, refuse);
  }
}

function refuseSetting(name: string, value: string, refuse: (reason: string) => void): void {
  const shown = JSON.stringify(value.slice(0, 40));
  if (value === '') return;
  if (name === 'retries') {
    const isCount = /^[+-]?\d{1,20}$/.test(value) && Number(value) >= 0 && Number(value) <= MAX_RETRIES;
    if (!isCount) refuse(`--retries of HEALTHCHECK is a number from 0 on, not ${shown}`);
    return;
  }
  const problem = durationProblem(value);
  if (problem !== undefined) refuse(`--${name} of HEALTHCHECK ${problem}: ${shown}`);
}

const MAX_RETRIES = 2 ** 31 - 1;
