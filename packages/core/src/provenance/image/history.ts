import { type HistoryEntry, ImagevetError } from '@imagevet/registry';
import { parseDockerfile } from '../../dockerfile/parse-dockerfile.ts';
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
    if (instruction !== '') lines.push(readable(instruction));
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
  if (keyword === 'ENV' || keyword === 'LABEL')
    return `${keyword} ${toPairs(body.slice(keyword.length).trim())}`;
  if (keyword === 'SHELL') return `SHELL ${toList(body.slice(5).trim())}`;
  if (keyword === 'HEALTHCHECK') return `HEALTHCHECK ${toCheck(body.slice(11).trim())}`;
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

/** Values stand there without quotes: `A=one two B=3`. */
function toPairs(text: string): string {
  return text
    .split(/\s(?=[A-Za-z_][\w.-]*=)/)
    .map((pair) => {
      const equals = pair.indexOf('=');
      const value = pair.slice(equals + 1);
      if (equals < 1 || !/[\s"'\\$]/.test(value)) return pair;
      return `${pair.slice(0, equals)}="${value.replaceAll(/["\\$]/g, '\\$&').replaceAll(/\s+/g, ' ')}"`;
    })
    .join(' ');
}

/** Go prints the list without quotes and commas: `[/bin/bash -o pipefail -c]`. */
function toList(text: string): string {
  const words = /^\[([^"]*)\]$/.exec(text)?.[1];
  return words === undefined ? text : JSON.stringify(words.split(' '));
}

/** Go prints the structure, times last: `&{["CMD-SHELL" "curl localhost"] "5s" "0s" "0s" "0s" '\x03'}`. */
function toCheck(text: string): string {
  const [whole = '', list = ''] = /^&\{\[("(?:[^"\\]|\\.)*"(?: "(?:[^"\\]|\\.)*")*)\]/.exec(text) ?? [];
  const words = list.match(/"(?:[^"\\]|\\.)*"/g) ?? [];
  const [kind, command] = words;
  if (kind === '"NONE"') return 'NONE';
  const names = ['interval', 'timeout', 'start-period', 'start-interval'];
  const times = [...text.slice(whole.length).matchAll(/"([^"]{1,40})"/g)].flatMap(([, time], at) =>
    time === '0s' || names[at] === undefined ? [] : [`--${names[at]}=${time} `],
  );
  const retries = Number.parseInt(/'\\x([0-9a-f]{2})'\}$/.exec(text)?.[1] ?? '0', 16);
  const flags = `${times.join('')}${retries === 0 ? '' : `--retries=${retries} `}`;
  if (kind === '"CMD"') return `${flags}CMD [${words.slice(1).join(', ')}]`;
  return kind === '"CMD-SHELL"' && command !== undefined
    ? `${flags}CMD ${command.slice(1, -1).replaceAll(/\\(["\\])/g, '$1')}`
    : text;
}

/** One instruction that cannot be read would hide all others: its command is written as a list, or else it is a comment. */
function readable(instruction: string): string {
  if (instruction.startsWith('#') || isInstruction(instruction)) return instruction;
  const command = instruction.startsWith('RUN ') ? instruction.slice(4).replaceAll(' \\\n', '\n') : undefined;
  const listed = command === undefined ? '' : `RUN ${JSON.stringify(['/bin/sh', '-c', command])}`;
  return listed !== '' && isInstruction(listed) ? listed : `# ${instruction.replaceAll('\n', '\n# ')}`;
}

function isInstruction(text: string): boolean {
  try {
    // What follows must not become part of it.
    const [stage, ...more] = parseDockerfile(`FROM scratch\n${text}\nUSER next\n`).stages;
    return stage?.instructions.length === 2 && more.length === 0;
  } catch (error) {
    if (!ImagevetError.is(error)) throw error;
    return false;
  }
}

function oneInstruction(text: string): string {
  return text.replaceAll('\n', ' \\\n');
}
