import { parseReference } from '@imagevet/registry';
import { expect, test } from 'vitest';
import { LibraryIndex } from './library-index.ts';

const HEAD = 'Maintainers: A <a@b.example> (@a)\nGitRepo: https://github.com/acme/tool\n';
const entry = (tag: string, architectures: string, more = '') =>
  `\nTags: ${tag}\nSharedTags: all\nArchitectures: ${architectures}\nDirectory: ${tag}\nGitCommit: ${'a'.repeat(40)}\n${more}`;
const find = (text: string, architecture: string, name = 'tool:all') => {
  const index = new LibraryIndex(new Map([['tool', HEAD + text]]));
  const answer = index.find(parseReference(name), { architecture, constraints: [] });
  return answer.status === 'found' ? answer.entry.tags : answer.status;
};

test('LibraryIndex.find() takes no other variant of an architecture', () => {
  const text = entry('five', 'arm32v5') + entry('seven', 'arm32v7');
  expect(find(text, 'arm32v7')).toEqual(['seven']);
  expect(find(text, 'arm32v5')).toEqual(['five']);
  expect(find(text, 'arm32v6')).toBe('no-architecture');
  expect(find(text, 'amd64')).toBe('no-architecture');
  expect(find(text, 'amd64', 'arm32v5/tool:all')).toEqual(['five']);
});

test('LibraryIndex reads a tag that twenty thousand entries share in linear time', () => {
  const entries = Array.from({ length: 20_000 }, (_item, at) => entry(`t${at}`, 'amd64'));
  expect(find(entries.join(''), 'amd64')).toBe('ambiguous');
}, 20_000);
