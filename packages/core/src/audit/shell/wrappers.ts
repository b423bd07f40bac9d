import type { ShellArgument, ShellStep } from './steps.ts';

interface Wrapper {
  /** Short options that take the next word as value. */
  readonly valued: string;
  /** Operands before the wrapped command. */
  readonly operands?: number;
}

const WRAPPERS: Readonly<Record<string, Wrapper>> = {
  sudo: { valued: 'ugCDhprRtTU' },
  doas: { valued: 'uC' },
  env: { valued: 'uCS' },
  exec: { valued: 'a' },
  command: { valued: '' },
  builtin: { valued: '' },
  busybox: { valued: '' },
  nohup: { valued: '' },
  time: { valued: 'fo' },
  nice: { valued: 'n' },
  ionice: { valued: 'cnp' },
  timeout: { valued: 'sk', operands: 1 },
  stdbuf: { valued: 'ioe' },
  setarch: { valued: '', operands: 1 },
  linux32: { valued: '' },
  linux64: { valued: '' },
  gosu: { valued: '', operands: 1 },
  'su-exec': { valued: '', operands: 1 },
  chroot: { valued: '', operands: 1 },
  setpriv: { valued: '' },
  xargs: { valued: 'nILPdsEa' },
  fakeroot: { valued: '' },
  eatmydata: { valued: '' },
};

/** Removes `sudo`, `env A=1`, `xargs -n1` and the like from the front of a command. */
export function unwrap(words: readonly ShellArgument[]): {
  readonly command: readonly ShellArgument[];
  readonly environment: ShellStep['assignments'];
} {
  const environment: { name: string; value: ShellArgument }[] = [];
  let at = 0;
  for (;;) {
    const name = words[at]?.text.split('/').pop() ?? '';
    const wrapper = Object.hasOwn(WRAPPERS, name) ? WRAPPERS[name] : undefined;
    if (wrapper === undefined || at + 1 >= words.length) break;
    let next = at + 1;
    for (let word = words[next]; word?.text.startsWith('-') && word.text !== '-'; word = words[next]) {
      next += 1;
      if (word.text === '--') break;
      const takesValue = /^-[A-Za-z0-9]+$/.test(word.text) && wrapper.valued.includes(word.text.at(-1)!);
      if (takesValue) next += 1;
    }
    if (name === 'env' || name === 'sudo') {
      for (let word = words[next]; word !== undefined; word = words[next]) {
        const match = /^([A-Za-z_]\w*)=(.*)$/s.exec(word.text);
        if (match === null) break;
        environment.push({ name: match[1]!, value: { ...word, text: match[2]!, alternatives: [match[2]!] } });
        next += 1;
      }
    }
    next += wrapper.operands ?? 0;
    if (next >= words.length) break;
    at = next;
  }
  return { command: words.slice(at), environment };
}
