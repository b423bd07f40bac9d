import { formatPlatform, type Platform } from '@imagevet/registry';
import { expand, type Variables } from './expand.ts';
import { readInputs } from './inputs.ts';
import { invalid } from './invalid.ts';
import { imageNamed, type KnownStages, stageNamed } from './names.ts';
import type { BaseName, DockerfileInstruction, DockerfileStage, StageInput } from './types.ts';
import { splitBlanks, splitWords } from './words.ts';

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
  const byName = new Map<string, number>();
  for (const instruction of instructions.slice(first)) {
    if (instruction.keyword === 'FROM') {
      const stage = startStage(instruction, { count: stages.length, byName }, variables, context);
      if (stage.name !== undefined) byName.set(stage.name, stage.index);
      stages.push(stage);
      continue;
    }
    const stage = stages.at(-1);
    if (stage === undefined) continue;
    stage.endLine = instruction.endLine;
    stage.instructions.push(instruction);
  }
  // What a stage takes from another may stand after it.
  const known = { count: stages.length, byName };
  for (const stage of stages) {
    stage.inputs.push(...stage.instructions.flatMap((instruction) => readInputs(instruction, known)));
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
  const version = prefix === 'TARGET' ? platform['os.version'] : undefined;
  return {
    [`${prefix}PLATFORM`]: formatPlatform(
      // Of the two only the target's is written with its version: windows(10.0.20348.1)/amd64.
      version === undefined || version === '' ? platform : { ...platform, os: `${platform.os}(${version})` },
    ),
    [`${prefix}OS`]: platform.os,
    [`${prefix}ARCH`]: platform.architecture,
    [`${prefix}VARIANT`]: platform.variant ?? '',
    [`${prefix}OSVERSION`]: platform['os.version'] ?? '',
  };
}

function startStage(
  instruction: DockerfileInstruction,
  earlier: KnownStages,
  variables: Variables,
  context: StageContext,
): GrowingStage {
  const stageName = nameOf(instruction);
  const [fromText = ''] = splitBlanks(instruction.arguments);
  const platformFlag = instruction.flags.find((flag) => flag.name === 'platform')?.value;
  const platform = platformFlag === undefined ? undefined : expand(platformFlag, variables, context.escape);
  return {
    index: earlier.count,
    ...(stageName === undefined ? {} : { name: stageName }),
    fromText,
    base:
      platform?.problem === undefined
        ? resolveBase(fromText, earlier, variables, context)
        : { kind: 'unresolved', text: fromText, reason: `--platform: ${platform.problem}` },
    ...(platform === undefined ? {} : { platform: platform.value }),
    inputs: [],
    instructions: [],
    startLine: instruction.startLine,
    endLine: instruction.endLine,
  };
}

/** The name of the stage that a `FROM` starts. */
function nameOf(from: DockerfileInstruction): string | undefined {
  if (/\{\{|\}\}|%%[A-Z_]+%%|<%/.test(from.arguments.slice(0, 1000)))
    throw invalid('it is a template, not a Dockerfile', from.startLine);
  const words = splitBlanks(from.arguments);
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
  earlier: KnownStages,
  variables: Variables,
  context: StageContext,
): BaseName {
  const { value, unset, problem } = expand(text, variables, context.escape);
  if (problem !== undefined) return { kind: 'unresolved', text, reason: problem };
  if (unset.length > 0 && (value === '' || /[:/@]$|^[:/@]/.test(value))) {
    return { kind: 'unresolved', text, reason: `ARG ${unset.join(', ')} has no value` };
  }
  if (value === '') return { kind: 'unresolved', text, reason: 'the base name is empty' };
  return stageNamed(value, text, earlier) ?? imageNamed(value, text);
}
