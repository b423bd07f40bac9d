import { imageNamed, type KnownStages, stageNamed } from './names.ts';
import type { BaseName, DockerfileInstruction, StageInput } from './types.ts';

/** `COPY --from=` and `RUN --mount=from=`; neither expands variables. */
export function readInputs(instruction: DockerfileInstruction, stages: KnownStages): readonly StageInput[] {
  const lines = { startLine: instruction.startLine, endLine: instruction.endLine };
  return instruction.flags.flatMap(({ name, value }): readonly StageInput[] => {
    if (name === 'from' && (instruction.keyword === 'COPY' || instruction.keyword === 'ADD')) {
      return value === '' ? [] : [{ kind: 'copy-from', name: resolveInput(value, stages, true), ...lines }];
    }
    if (name !== 'mount' || instruction.keyword !== 'RUN') return [];
    const fields = csvFields(value)?.filter((field) => /^from=/i.test(field));
    if (fields === undefined) {
      const reason = 'the mount is no list of comma-separated values';
      return [{ kind: 'mount-from', name: { kind: 'unresolved', text: value, reason }, ...lines }];
    }
    // Of several the last counts.
    const source = fields.at(-1)?.slice('from='.length) ?? '';
    return source === '' ? [] : [{ kind: 'mount-from', name: resolveInput(source, stages, false), ...lines }];
  });
}

/** The fields of one CSV record; undefined when a quote stands where none may. */
function csvFields(record: string): readonly string[] | undefined {
  const fields: string[] = [];
  let rest = record;
  for (;;) {
    const [whole, quoted, plain = ''] = /^(?:"([^"]*(?:""[^"]*)*)"|([^",]*))(?=,|$)/.exec(rest) ?? [];
    if (whole === undefined) return undefined;
    fields.push(quoted === undefined ? plain : quoted.replaceAll('""', '"'));
    if (whole.length === rest.length) return fields;
    rest = rest.slice(whole.length + 1);
  }
}

function resolveInput(text: string, stages: KnownStages, byNumber: boolean): BaseName {
  if (text.includes('$')) return { kind: 'unresolved', text, reason: 'variables are not expanded here' };
  if (byNumber && /^[+-]?\d+$/.test(text)) {
    const index = Number(text);
    if (index >= 0 && index < stages.count) return { kind: 'stage', stage: Math.abs(index), text };
    return { kind: 'unresolved', text, reason: `there is no stage ${text}` };
  }
  return stageNamed(text, text, stages) ?? imageNamed(text, text);
}
