import type { HistoryEntry } from '@imagevet/registry';
import type { ProvenanceClaim, ProvenanceSource, ProvenanceSubject } from '../../lineage/types.ts';

/**
 * Creates the source of last resort: a Dockerfile reconstructed from the history of the image config. It knows
 * neither `FROM` nor stages, so it shows what was run, not where the image came from.
 */
export function imageHistorySource(): ProvenanceSource {
  return {
    kind: 'image-history',
    async *claims({ image }: ProvenanceSubject): AsyncIterable<ProvenanceClaim> {
      if (image === undefined || image.history.length === 0) return;
      yield {
        kind: 'image-history',
        foundAt: image.config.digest,
        dockerfile: reconstructDockerfile(image.history),
        heuristic: true,
        note: 'reconstructed from the history; FROM, stages and copied content are not recorded there',
      };
    },
  };
}

/**
 * Writes a Dockerfile for a history: one instruction per entry, the base's entries included, on a base that is left open.
 * Forms of the classic builder, BuildKit, buildah and Windows are understood; what is not becomes a comment.
 */
export function reconstructDockerfile(history: readonly HistoryEntry[]): string {
  // No value is known for the argument: a reader must not take this for an image made from scratch.
  const lines = [
    '# Reconstructed from the history of an image',
    'ARG UNRECORDED_BASE',
    'FROM ${UNRECORDED_BASE}',
  ];
  for (const entry of history) {
    const instruction = toInstruction(entry.created_by?.trim() ?? '');
    if (instruction !== '') lines.push(instruction);
  }
  return `${lines.join('\n')}\n`;
}

const KEYWORDS = new Set(
  'ADD ARG CMD COPY ENTRYPOINT ENV EXPOSE HEALTHCHECK LABEL MAINTAINER ONBUILD RUN SHELL STOPSIGNAL USER VOLUME WORKDIR'.split(
    ' ',
  ),
);

function toInstruction(createdBy: string): string {
  const text = createdBy.replace(/ # buildkit$/, '');
  const nop = /^(?:\/bin\/sh -c|cmd \/S \/C|powershell -Command .{0,200}?) #\(nop\) +/.exec(text);
  const body = nop === null ? text : text.slice(nop[0].length);
  const space = body.search(/\s/);
  const keyword = space < 0 ? body : body.slice(0, space);
  if (keyword === 'RUN') return oneInstruction(`RUN ${toCommand(body.slice(3).trimStart())}`);
  if (keyword === 'EXPOSE') return oneInstruction(`EXPOSE ${toPorts(body.slice(6).trim())}`);
  if (keyword === 'ADD' || keyword === 'COPY') return oneInstruction(body.replace(' in ', ' '));
  if (KEYWORDS.has(keyword)) return oneInstruction(body);
  if (text === '' || text.startsWith('#')) return text.split('\n', 1)[0] ?? '';
  const command = toCommand(text);
  return command === text ? `# ${text.replaceAll('\n', '\n# ')}` : oneInstruction(`RUN ${command}`);
}

/** Removes the shell, and the build arguments (`|2 A=1 B=2`) both builders put before it. */
function toCommand(text: string): string {
  const shell = text.startsWith('|') ? text.indexOf('/bin/sh -c ') : 0;
  const command = text.slice(Math.max(shell, 0));
  for (const prefix of ['/bin/sh -c ', 'cmd /S /C ']) {
    if (command.startsWith(prefix)) return command.slice(prefix.length).trimStart();
  }
  return text;
}

/** BuildKit prints the Go map: `map[80/tcp:{} 443/tcp:{}]`. */
function toPorts(text: string): string {
  const map = /^map\[([^\]]*)\]$/.exec(text)?.[1];
  return map === undefined ? text : map.replaceAll(':{}', '');
}

function oneInstruction(text: string): string {
  return text.replaceAll('\n', ' \\\n');
}
