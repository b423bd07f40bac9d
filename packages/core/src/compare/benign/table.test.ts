import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { BENIGN_CHANGES } from './table.ts';

/** Content as one build leaves it; `time` fills the places that may differ. */
const SAMPLES: Readonly<Record<string, (time: string, day: number) => string>> = {
  '/var/log/dpkg.log': (time) =>
    `2026-11-23 ${time} startup packages purge\n2026-11-23 ${time} status installed adduser:all 3.134\n`,
  '/var/log/alternatives.log': (time) =>
    `update-alternatives 2026-11-23 ${time}: run with --install /usr/bin/run\n`,
  '/var/log/apt/history.log': (time) =>
    `\nStart-Date: 2026-11-23  ${time}\nCommandline: apt-get install jq\nInstall: jq:amd64 (1.6)\nEnd-Date: 2026-11-23  ${time}\n`,
  '/var/log/apt/term.log': (time) =>
    `\nLog started: 2026-11-23  ${time}\nUnpacking jq (1.6) ...\nLog ended: 2026-11-23  ${time}\n`,
  '/var/log/yum.log': (time) => `Nov 23 ${time} Installed: tool-2.0-3.noarch\nNov  1 ${time} Erased: old\n`,
  '/var/log/zypp/history': (time, day) =>
    `2026-11-23 ${time}|command|root@${day === 20_000 ? 'a1c3' : 'b2d4'}|'zypper' 'install' 'tool'|\n# 2026-11-23 ${time} tool-2.0-3.noarch.rpm installed ok\n2026-11-23 ${time}|install|tool|1:2.0-3|noarch|root@${day === 20_000 ? 'a1c3' : 'b2d4'}|my|${(day === 20_000 ? '0a' : 'b1').repeat(32)}|\n`,
  '/etc/shadow': (_, day) => `root:*:${day}:0:99999:7:::\napp:!:${day}::::::\n`,
  '/etc/shadow-': (_, day) => `root:*:${day}:0:99999:7:::\n`,
};

describe('BENIGN_CHANGES', () => {
  test.each(Object.entries(SAMPLES))(
    'BENIGN_CHANGES allows other times in %s and nothing else',
    (path, write) => {
      const rule = BENIGN_CHANGES.get(path)!;
      const one = write('01:02:03', 20_000);
      const other = write('23:59:59', 20_001);
      expect(rule.same(Buffer.from(one), Buffer.from(other))).toBe(true);
      const differing = [...one].flatMap((char, at) => (char === other[at] ? [] : [at]));
      fc.assert(
        fc.property(fc.nat(one.length - 1), fc.constantFrom('x', '\n', '\0', ':'), (at, char) => {
          const altered = Buffer.from(`${other.slice(0, at)}${char}${other.slice(at + 1)}`);
          fc.pre(!differing.includes(at) && other[at] !== char);
          expect(rule.same(Buffer.from(one), altered)).toBe(false);
        }),
      );
      expect(rule.same(Buffer.from(one), Buffer.from(`${other}toor::0:0\n`))).toBe(false);
    },
  );

  test('BENIGN_CHANGES sees a password, and a change that must be made at the next login', () => {
    const { same } = BENIGN_CHANGES.get('/etc/shadow')!;
    const shadow = Buffer.from('root:*:20000:0:99999:7:::\n');
    expect(same(shadow, Buffer.from('root::20000:0:99999:7:::\n'))).toBe(false);
    expect(same(shadow, Buffer.from('root:*:0:0:99999:7:::\n'))).toBe(false);
  });

  test('BENIGN_CHANGES takes no NUL for a time', () => {
    const { same } = BENIGN_CHANGES.get('/var/log/dpkg.log')!;
    const log = Buffer.from('2026-11-23 01:02:03 startup packages purge\n');
    expect(same(log, Buffer.from('\0startup packages purge\n'))).toBe(false);
    expect(same(Buffer.from('\0startup packages purge\n'), log)).toBe(false);
  });

  test('BENIGN_CHANGES has a sample here for each text it knows', () => {
    expect([...BENIGN_CHANGES.keys()].sort()).toEqual(
      [
        ...[...Object.keys(SAMPLES), '/var/cache/ldconfig/aux-cache'],
        ...['dnf', 'dnf.rpm', 'dnf.librepo', 'hawkey'].map((log) => `/var/log/${log}.log`),
      ].sort(),
    );
  });
});
