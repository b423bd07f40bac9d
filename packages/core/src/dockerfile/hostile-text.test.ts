import { ImagevetError } from '@imagevet/registry';
import { describe, expect, test } from 'vitest';
import { parseDockerfile } from './parse-dockerfile.ts';

/** One line of a million characters; what takes more than linear time does not end within the test's limit. */
const long = (piece: string) => piece.repeat(Math.ceil(1_000_000 / piece.length));

describe('parseDockerfile() takes linear time', () => {
  test.each([
    ['backslashes (attack row 32)', `FROM a\nRUN ${long('\\')}`],
    ['continuations', `FROM a\nRUN ${'x \\\n'.repeat(300_000)}y`],
    ['comments in a continuation', `FROM a\nRUN x \\\n${'  # x\n'.repeat(200_000)}y`],
    ['nested defaults', `FROM ${long('${A:-')}`],
    ['an unclosed heredoc', `FROM a\nRUN <<EOF\n${'x\n'.repeat(500_000)}`],
    ['a long word', `FROM ${long('a')}`],
    ['blanks in FROM', `FROM a${long(' ')}b c`],
    ['blanks and a tab', `FROM a\nRUN x${long(' \t')}x`],
    ['blanks before an escape', `FROM a\nRUN x${long(' ')}\\ x`],
    ['carriage returns', `FROM a\nRUN x${long('\r')}x`],
    ['blanks of other alphabets', `FROM a\nRUN x${long('\u2003')}x`],
    [
      'a pattern for every part of a value',
      `ARG X=${'a'.repeat(20_000)}\nFROM ${'${X//*b/c}${X%%*b}'.repeat(50)}`,
    ],
    ['stars', `ARG X=${'a'.repeat(1000)}\nFROM \${X##${'*a'.repeat(400)}b}`],
    ['heredoc bait', `FROM a\nRUN ${long('<<')}`],
    ['blanks after <<', `FROM a\nRUN <<${long(' ')}<`],
    ['heredocs', `FROM a\nRUN ${'<<E '.repeat(100_000)}\n${'E\n'.repeat(100_000)}`],
    ['open substitutions beside <<', `FROM a\nRUN <<E ${long('${A:-')}`],
    ['quotes beside <<', `FROM a\nRUN <<E ${long(`"'"`)}`],
    ['dollars beside <<', `FROM a\nRUN <<E ${long('$')}`],
    ['a long name beside <<', `FROM a\nRUN <<E $${long('a')}`],
    ['flags', `FROM a\nRUN ${long('--a=b ')}x`],
    ['escapes in a flag', `FROM a\nRUN --a=${long('\\a')} x`],
    ['an open quote in a flag', `FROM a\nRUN --a="${long('b ')}`],
    ['fields of a mount', `FROM a\nRUN --mount=${long('from=a,')} x`],
    ['quotes in a mount', `FROM a\nRUN --mount='"${long('""')}' x`],
    ['assignments', `FROM a\nENV ${long('A=1 ')}`],
    ['a list', `FROM a\nCOPY [${long('"a",')}"b"]`],
    ['brackets', `FROM a\nRUN ${long('[')}`],
    ['blanks in a directive', `# escape${long(' ')}= \nFROM a`],
    ['a directive of blanks', `# syntax=a${long(' ')}b\nFROM a`],
    ['template braces', `FROM ${long('{')}`],
    ['stages', 'FROM a\n'.repeat(20_000)],
    ['stages that take from none', 'FROM a AS s\nCOPY --from=z b c\n'.repeat(10_000)],
    ['numbers', `FROM a\nCOPY --from=${long('9')} b c`],
  ])('for %s', (_name, text) => {
    try {
      expect(parseDockerfile(text).stages.length).toBeGreaterThan(0);
    } catch (error) {
      expect(ImagevetError.is(error)).toBe(true);
    }
  });
});
