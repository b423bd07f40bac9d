import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { parseShell } from './parser.ts';

describe('parseShell()', () => {
  test.each([
    'a',
    'a b "c d" \'e\' f\\ g',
    'A=1 B="$C" make',
    'A=(x y "z w")',
    'a && b || c; d & e',
    'a | b |& c',
    '! a',
    '(a; b) > out 2>&1',
    '{ a; b; } | c',
    'if a; then b; elif c; then d; else e; fi',
    'while read -r x; do echo "$x"; done < file',
    'until a; do b; done',
    'for x in a b "$@"; do echo $x; done',
    'for x; do y; done',
    'for ((i = 0; i < 3; i++)); do y; done',
    'case "$x" in a|b) c ;; (d*) e; f ;; *) ;; esac',
    'case x in a) b; esac',
    'f() { a; }; f',
    'function f { a; }',
    '[[ $a =~ ^(x|y)$ && -n "$b" ]] || c',
    '(( a + b )) && c',
    'echo $(( (1 + 2) * 3 )) $((4))',
    'echo "$(a "$(b)")" `c \\`d\\``',
    'echo ${A:-${B:="x y"}} ${C%%.*} ${#D} ${E//a/b} "${F:-it\'s}"',
    'cat <<EOF | b\nx $y $(z)\nEOF\nc',
    "cat <<-'EOF'\n\tx $(\n\tEOF\n",
    'cat <<< "$x"',
    'diff <(a) <(b) > >(tee c)',
    'a # comment (\nb',
    'a \\\n  b',
    '(a) # x',
    'a 2> /dev/null >&2 {fd}> x &> y',
    "echo $'a\\'b' $\"c\"",
    'echo a#b {} } if',
    'set -eux; \\\n\\\na; \\\n',
    'ls !(a|b) @(c)',
    'local a=(x y)',
  ])('reads %j', (script) => {
    expect(parseShell(script)).toMatchObject({ ok: true });
  });

  test.each([
    ['a &&', 2],
    ['a | | b', 4],
    ["echo 'a", 5],
    ['echo "a', 5],
    ['echo $(a', 8],
    ['echo `a', 5],
    ['echo ${a', 5],
    ['if a; then b', 12],
    ['if a; b; fi', 9],
    ['fi', 0],
    ['(a', 2],
    ['a)', 1],
    ['; a', 0],
    ['case x in a) b', 14],
    ['cat <<EOF\nx', 11],
    ['for 1x in a; do b; done', 4],
    ['while ; do a; done', 6],
    ['$url = ("x" -f y); z', 7],
  ])('refuses %j and says where', (script) => {
    expect(parseShell(script)).toMatchObject({
      ok: false,
      reason: expect.any(String),
      offset: expect.any(Number),
    });
  });

  test('keeps quoting, expansions and redirections apart', () => {
    const parsed = parseShell('X=1 curl -o "$f" https://e.example/`arch` > /dev/null');
    expect(parsed).toMatchObject({
      ok: true,
      script: {
        items: [
          {
            kind: 'simple',
            assignments: [{ name: 'X' }],
            words: [
              { parts: [{ kind: 'text', value: 'curl', quoted: false }] },
              { parts: [{ value: '-o' }] },
              { source: '"$f"' },
              { parts: [{ value: 'https://e.example/' }, { kind: 'command' }] },
            ],
            redirections: [{ operator: '>', target: { source: '/dev/null' } }],
          },
        ],
      },
    });
  });

  test('takes heredoc bodies that a Dockerfile parser took out', () => {
    const parsed = parseShell('cat <<EOF > /x && sh <<EOT', {
      heredocs: [
        { content: 'a\n', expand: true },
        { content: 'curl x | sh\n', expand: false },
      ],
    });
    expect(JSON.stringify(parsed)).toContain('curl x | sh');
  });

  test('answers for every text, never throws', () => {
    const token = fc.constantFrom(
      ...[
        'a',
        ' ',
        '\n',
        ';',
        '&',
        '|',
        '(',
        ')',
        '{',
        '}',
        '<',
        '>',
        '"',
        "'",
        '`',
        '$',
        '\\',
        '#',
        '=',
        '!',
      ],
      ...[
        'if',
        'then',
        'fi',
        'for',
        'in',
        'do',
        'done',
        'case',
        'esac',
        '<<E',
        '\nE\n',
        '[[',
        ']]',
        '$(',
        '${',
        '$((',
      ],
    );
    fc.assert(
      fc.property(fc.array(token, { maxLength: 60 }), (tokens) => {
        const parsed = parseShell(tokens.join(''));
        return parsed.ok || (parsed.reason.length > 0 && parsed.offset >= 0);
      }),
      { numRuns: 3000 },
    );
  });

  test.each([
    ['parentheses', '('.repeat(200_000)],
    ['arithmetic', '$(('.repeat(100_000)],
    ['backquotes', '`'.repeat(200_001)],
    ['braces', '${a:-'.repeat(100_000)],
    ['backslashes', '\\'.repeat(200_000)],
    ['escaped backquotes', '`\\`'.repeat(50_000)],
    ['heredocs', '<<a '.repeat(50_000)],
    ['words', 'a '.repeat(200_000)],
    ['assignments', 'a='.repeat(100_000)],
    ['conditions', 'if a; then '.repeat(50_000)],
    ['quotes', '"$(\''.repeat(50_000)],
    ['pipes', 'a|'.repeat(100_000)],
  ])('finishes on many %s', (_, script) => {
    expect(typeof parseShell(script).ok).toBe('boolean');
  });
});
