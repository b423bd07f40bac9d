import {
  formatPlatform,
  ImagevetError,
  type Platform,
  parseReference,
  withDefaultTag,
} from '@imagevet/registry';
import { expand, type Variables } from './expand.ts';
import { invalid } from './invalid.ts';
import type { BaseName, DockerfileInstruction, DockerfileStage, StageInput } from './types.ts';
import { splitWords } from './words.ts';

/** What decides how names resolve. */
export interface StageContext {
  readonly escape: '\\' | '`';
  readonly buildArgs: Readonly<Record<string, string>>;
  readonly target: string | undefined;
  readonly platform: Platform;
  readonly buildPlatform: Platform;
}

/** A stage while its instructions are still being read. */
interface GrowingStage extends DockerfileStage {
  endLine: number;
  readonly instructions: DockerfileInstruction[];
  readonly inputs: StageInput[];
}

/** Splits instructions into global ARGs and stages, and resolves what each stage names. */
export function readStages(
  instructions: readonly DockerfileInstruction[],
  context: StageContext,
): { readonly globalArgs: readonly DockerfileInstruction[]; readonly stages: readonly DockerfileStage[] } {
  const first = instructions.findIndex(({ keyword }) => keyword === 'FROM');
  const globalArgs = instructions.slice(0, first < 0 ? instructions.length : first);
  const stray = globalArgs.find(({ keyword }) => keyword !== 'ARG');
  if (stray !== undefined) throw invalid(`${stray.keyword} before the first FROM`, stray.startLine);
  if (first < 0) throw invalid('it has no FROM', globalArgs.at(-1)?.endLine ?? 1);
  const last = instructions.findLast(({ keyword }) => keyword === 'FROM');
  const variables = globalVariables(globalArgs, context, last === undefined ? undefined : nameOf(last));
  const stages: GrowingStage[] = [];
  for (const instruction of instructions.slice(first)) {
    if (instruction.keyword === 'FROM') {
      stages.push(startStage(instruction, stages, variables, context));
      continue;
    }
    const stage = stages.at(-1);
    if (stage === undefined) continue;
    stage.endLine = instruction.endLine;
    stage.instructions.push(instruction);
    stage.inputs.push(...readInputs(instruction, stages.slice(0, -1)));
  }
  return { globalArgs, stages };
}

/**
 * Global scope: predefined ARGs, which build arguments may set, then each ARG with build arguments over defaults over earlier
 * ARGs.
 */
function globalVariables(
  globalArgs: readonly DockerfileInstruction[],
  context: StageContext,
  lastStage: string | undefined,
): Variables {
  const variables: Record<string, string | undefined> = {
    ...platformArgs('TARGET', context.platform),
    ...platformArgs('BUILD', context.buildPlatform),
    TARGETSTAGE: context.target ?? lastStage ?? 'default',
  };
  for (const name of Object.keys(variables)) {
    if (Object.hasOwn(context.buildArgs, name)) variables[name] = context.buildArgs[name];
  }
  for (const { arguments: text, startLine } of globalArgs) {
    for (const word of splitWords(text, context.escape)) {
      const equals = word.indexOf('=');
      const name = equals < 0 ? word : word.slice(0, equals);
      if (Object.hasOwn(context.buildArgs, name)) variables[name] = context.buildArgs[name];
      else if (equals >= 0) {
        const { value, problem } = expand(word.slice(equals + 1), variables, context.escape);
        if (problem !== undefined) throw invalid(`ARG ${name}: ${problem}`, startLine);
        variables[name] = value;
      }
    }
  }
  return variables;
}

/** @see Dockerfile reference, "Automatic platform ARGs in the global scope" */
function platformArgs(prefix: 'TARGET' | 'BUILD', platform: Platform): Variables {
  return {
    [`${prefix}PLATFORM`]: formatPlatform(platform),
    [`${prefix}OS`]: platform.os,
    [`${prefix}ARCH`]: platform.architecture,
    [`${prefix}VARIANT`]: platform.variant ?? '',
    [`${prefix}OSVERSION`]: platform['os.version'] ?? '',
  };
}

function startStage(
  instruction: DockerfileInstruction,
  earlier: readonly DockerfileStage[],
  variables: Variables,
  context: StageContext,
): GrowingStage {
  const stageName = nameOf(instruction);
  const [fromText = ''] = fromWords(instruction);
  const platformFlag = instruction.flags.find((flag) => flag.name === 'platform')?.value;
  const platform =
    platformFlag === undefined ? undefined : expand(platformFlag, variables, context.escape).value;
  return {
    index: earlier.length,
    ...(stageName === undefined ? {} : { name: stageName }),
    fromText,
    base: resolveBase(fromText, earlier, variables, context),
    ...(platform === undefined ? {} : { platform }),
    inputs: [],
    instructions: [],
    startLine: instruction.startLine,
    endLine: instruction.endLine,
  };
}

/** Blanks alone separate: a quote groups nothing here. */
function fromWords({ arguments: text }: DockerfileInstruction): readonly string[] {
  return text.split(/[\t\v\f\r ]+/);
}

/** The name of the stage that a `FROM` starts. */
function nameOf(from: DockerfileInstruction): string | undefined {
  const words = fromWords(from);
  const [, as, name] = words;
  if (words.length !== 1 && !(words.length === 3 && as?.toLowerCase() === 'as')) {
    throw invalid('FROM takes an image and, after AS, a name', from.startLine);
  }
  const stageName = name?.toLowerCase();
  if (stageName !== undefined && !/^[a-z][a-z0-9-_.]*$/.test(stageName)) {
    throw invalid(`${JSON.stringify(name)} is not a stage name`, from.startLine);
  }
  return stageName;
}

function resolveBase(
  text: string,
  earlier: readonly DockerfileStage[],
  variables: Variables,
  context: StageContext,
): BaseName {
  const { value, unset, problem } = expand(text, variables, context.escape);
  if (problem !== undefined) return { kind: 'unresolved', text, reason: problem };
  if (unset.length > 0 && (value === '' || /[:/@]$|^[:/@]/.test(value))) {
    return { kind: 'unresolved', text, reason: `ARG ${unset.join(', ')} has no value` };
  }
  if (value === '') return { kind: 'unresolved', text, reason: 'the base name is empty' };
  if (value === 'scratch') return { kind: 'scratch', text: 'scratch' };
  const stage = stageNamed(value, earlier);
  return stage === undefined ? imageNamed(value, text) : { kind: 'stage', stage, text };
}

/** Stage names are looked up case-insensitively; the last stage of a name wins. */
function stageNamed(name: string, earlier: readonly DockerfileStage[]): number | undefined {
  const index = earlier.findLastIndex(
    (stage) => stage.name !== undefined && stage.name === name.toLowerCase(),
  );
  return index < 0 ? undefined : index;
}

function imageNamed(name: string, text: string): BaseName {
  try {
    return { kind: 'image', reference: withDefaultTag(parseReference(name)), text };
  } catch (error) {
    if (!ImagevetError.is(error)) throw error;
    return { kind: 'unresolved', text, reason: error.message };
  }
}

/** `COPY --from=` and `RUN --mount=from=`; neither expands variables. */
function readInputs(
  instruction: DockerfileInstruction,
  earlier: readonly DockerfileStage[],
): readonly StageInput[] {
  const lines = { startLine: instruction.startLine, endLine: instruction.endLine };
  return instruction.flags.flatMap(({ name, value }): readonly StageInput[] => {
    if (name === 'from' && (instruction.keyword === 'COPY' || instruction.keyword === 'ADD')) {
      return [{ kind: 'copy-from', name: resolveInput(value, earlier, true), ...lines }];
    }
    if (name !== 'mount' || instruction.keyword !== 'RUN') return [];
    const [from, ...others] = value.split(',').filter((part) => /^[\s"]*from=/i.test(part));
    if (from === undefined) return [];
    const source = from.slice(from.indexOf('=') + 1);
    if (others.length === 0 && !from.includes('"')) {
      return [{ kind: 'mount-from', name: resolveInput(source, earlier, false), ...lines }];
    }
    const reason = 'the mount names more than one source, or quotes it';
    return [{ kind: 'mount-from', name: { kind: 'unresolved', text: value, reason }, ...lines }];
  });
}

function resolveInput(text: string, earlier: readonly DockerfileStage[], byNumber: boolean): BaseName {
  if (text.includes('$')) return { kind: 'unresolved', text, reason: 'variables are not expanded here' };
  if (byNumber && /^\d+$/.test(text)) {
    const index = Number(text);
    if (index < earlier.length) return { kind: 'stage', stage: index, text };
    return { kind: 'unresolved', text, reason: `there is no stage ${text} before it` };
  }
  if (text === 'scratch') return { kind: 'scratch', text: 'scratch' };
  const stage = stageNamed(text, earlier);
  return stage === undefined ? imageNamed(text, text) : { kind: 'stage', stage, text };
}
