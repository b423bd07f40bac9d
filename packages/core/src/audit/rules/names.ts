import { familiarReference, type ImageReference } from '@imagevet/registry';
import type { LineRange } from '../../dockerfile/types.ts';
import type { AuditRule, FindingDraft } from '../rule.ts';
import type { DockerfileUnit } from '../unit.ts';
import { officialNames } from './official-names.ts';
import { variantWords } from './variant-words.ts';

/** Rules about text and names that mislead whoever reads them. */
export const nameRules: readonly AuditRule[] = [
  {
    id: 'VET008',
    title: 'Dockerfile contains characters that mislead its reader',
    severity: 'high',
    rationale:
      'Invisible, direction-changing or look-alike characters make the text read otherwise than it is built.',
    remediation: 'Remove them; write names in ASCII.',
    appliesTo: 'dockerfile',
    *check({ dockerfile }) {
      const lines = dockerfile.text.replace(/^\uFEFF/, '').split(/\r\n|\r|\n/);
      for (const [index, text] of lines.entries()) {
        const place = { lines: { startLine: index + 1, endLine: index + 1 } };
        const hidden = hiddenCharacter(text);
        if (hidden !== undefined) yield { message: `contains ${hidden}`, ...place };
        const mixed = /^\s*#/.test(text) ? undefined : mixedWord(text);
        if (mixed !== undefined)
          yield { message: `${JSON.stringify(mixed)} mixes look-alike letters of several scripts`, ...place };
      }
      // A name that is all in another script mixes nothing, yet no registry has it.
      for (const { text, lines: place } of namesIn(dockerfile)) {
        if (
          /[^\x20-\x7E]/.test(text) &&
          hiddenCharacter(text) === undefined &&
          mixedWord(text) === undefined
        ) {
          yield { message: `the image name ${JSON.stringify(text)} is not ASCII`, lines: place };
        }
      }
    },
  },
  {
    id: 'VET009',
    title: 'Image name imitates a well-known one',
    severity: 'high',
    rationale:
      'Impostors register names one slip away from popular images, and registries that look like Docker Hub.',
    remediation: 'Check the spelling; name the intended image.',
    appliesTo: 'dockerfile',
    *check({ dockerfile }) {
      for (const stage of dockerfile.stages) {
        const named = [
          { name: stage.base, lines: firstLine(stage) },
          ...stage.inputs.map((input) => ({ name: input.name, lines: firstLine(input) })),
        ];
        for (const { name, lines } of named) {
          const reason = name.kind === 'image' ? imitation(name.reference) : undefined;
          if (reason !== undefined) yield { message: `${name.text} ${reason}`, lines };
        }
      }
    },
  },
  {
    id: 'VET067',
    title: 'The image itself is named like a well-known one',
    severity: 'high',
    rationale: 'One slip in the name that is asked for, and all that is proven is proven of an impostor.',
    remediation: 'Check the spelling; ask for the intended image.',
    appliesTo: 'lineage',
    *check({ lineage }) {
      const root = lineage.nodes.find(({ id }) => id === lineage.root);
      const reason = root === undefined ? undefined : imitation(root.reference);
      if (root === undefined || reason === undefined) return;
      yield { message: `${familiarReference(root.reference)} ${reason}`, node: root.id };
    },
  },
];

function firstLine({ startLine }: LineRange): LineRange {
  return { startLine, endLine: startLine };
}

function* namesIn(
  dockerfile: DockerfileUnit['dockerfile'],
): Generator<{ text: string; lines: FindingDraft['lines'] }> {
  for (const stage of dockerfile.stages) {
    yield { text: stage.fromText, lines: firstLine(stage) };
    for (const input of stage.inputs) yield { text: input.name.text, lines: firstLine(input) };
  }
  if (dockerfile.syntax !== undefined) {
    const { line, text } = dockerfile.syntax;
    yield { text, lines: { startLine: line, endLine: line } };
  }
}

const DIRECTION = /[\u202A-\u202E\u2066-\u2069\u200E\u200F\u061C]/u;
// Cf holds most invisible characters; the Hangul fillers are letters that show nothing.
const INVISIBLE = /\p{Cf}|[\u115F\u1160\u3164\uFFA0]/u;

function hiddenCharacter(text: string): string | undefined {
  if (/^[\t\x20-\x7E]*$/.test(text)) return undefined;
  const emoji = /\p{Extended_Pictographic}/u.test(text);
  for (const char of text) {
    const code = char.codePointAt(0)!;
    // Emoji are joined with U+200D; tab and escape (for colours) are usual.
    if ((code === 0x200d && emoji) || code === 0x09 || code === 0x1b) continue;
    const control = code < 0x20 || code === 0x7f;
    if (!control && !INVISIBLE.test(char)) continue;
    const name = `U+${code.toString(16).toUpperCase().padStart(4, '0')}`;
    const kind = DIRECTION.test(char)
      ? 'a character that changes the direction of text'
      : 'an invisible character';
    return `${kind}, ${name}`;
  }
  return undefined;
}

/** A word in which Latin letters stand beside Cyrillic or Greek ones. */
function mixedWord(text: string): string | undefined {
  for (const [word] of text.matchAll(/[\p{L}\p{M}\p{N}_]+/gu)) {
    if (/^[\x20-\x7E]*$/.test(word) || !/[A-Za-z]/.test(word)) continue;
    // µ and single Greek letters are units and mathematics.
    if (
      /\p{Script=Cyrillic}|\p{Script=Cherokee}|\p{Script=Armenian}|[\uFF21-\uFF5A]|[αονρικυΑΒΕΖΗΙΚΜΝΟΡΤΥΧ]/u.test(
        word,
      )
    ) {
      return word;
    }
  }
  return undefined;
}

const HUB_HOSTS = /^(?:docker\.io|index\.docker\.io|registry-1\.docker\.io|registry\.hub\.docker\.com)$/;
const KNOWN_HOSTS = [
  'docker.io',
  'ghcr.io',
  'quay.io',
  'gcr.io',
  'mcr.microsoft.com',
  'registry.k8s.io',
  'public.ecr.aws',
];

function imitation({ registry, repository }: ImageReference): string | undefined {
  const host = registry.replace(/:\d+$/, '').toLowerCase();
  if (KNOWN_HOSTS.includes(host) && host !== 'docker.io') return undefined;
  if (!HUB_HOSTS.test(host)) {
    const known = KNOWN_HOSTS.find(
      (each) =>
        host !== each &&
        (host.startsWith(`${each}.`) || host.includes(`-${each}.`) || distanceOne(host, each)),
    );
    return known === undefined ? undefined : `is at ${host}, which looks like ${known} and is not`;
  }
  const [namespace = '', name = '', ...rest] = repository.split('/');
  if (rest.length > 0) return undefined;
  if (namespace !== 'library') {
    return distanceOne(namespace, 'library')
      ? `is in ${namespace}/, which looks like the official library/`
      : undefined;
  }
  if (officialNames.has(name) || name.length < 4) return undefined;
  const dressed = [...officialNames].find((official) => isVariantOf(name, official));
  if (dressed !== undefined) return `is no official image but named like a variant of ${dressed}`;
  const meant = [...officialNames].find((official) => official.length >= 4 && distanceOne(name, official));
  return meant === undefined ? undefined : `is no official image but one slip away from ${meant}`;
}

/** Whether a name is another one with a word of its tags before or behind it: `php-apache`, `phpapache`, `official-nginx`. */
function isVariantOf(name: string, official: string): boolean {
  const rest = name.startsWith(official)
    ? name.slice(official.length)
    : name.endsWith(official)
      ? name.slice(0, -official.length)
      : '';
  const words = rest.split(/[-_.]/).filter((word) => word !== '');
  return words.length > 0 && words.every((word) => variantWords.has(word) || /^v?\d{1,4}$/.test(word));
}

/** Whether one insertion, deletion, substitution or swap of neighbours makes `a` into `b`. */
export function distanceOne(a: string, b: string): boolean {
  if (a === b || Math.abs(a.length - b.length) > 1) return false;
  let start = 0;
  while (start < a.length && a[start] === b[start]) start += 1;
  const [restA, restB] = [a.slice(start), b.slice(start)];
  if (restA.slice(1) === restB || restA === restB.slice(1) || restA.slice(1) === restB.slice(1)) return true;
  return restA[0] === restB[1] && restA[1] === restB[0] && restA.slice(2) === restB.slice(2);
}
