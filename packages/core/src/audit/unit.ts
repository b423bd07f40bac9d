import type { Dockerfile, DockerfileInstruction, DockerfileStage } from '../dockerfile/types.ts';
import type { PlatformDivergence } from '../lineage/resolve-lineages.ts';
import type { Lineage, LineageNode } from '../lineage/types.ts';
import { assignmentsOf, type ExpansionBudget, type InstructionAssignment } from './assignments.ts';
import { type DownloadRecord, trackDownloads } from './downloads/track.ts';
import { type CommandUnit, jsonArray, type RunOutcome, readRun } from './run.ts';

/** A Dockerfile made ready for the rules: instructions with their values, RUNs with their commands. */
export interface DockerfileUnit {
  readonly dockerfile: Dockerfile;
  readonly stages: readonly StageUnit[];
  readonly now: Date;
  /** The image it makes, when known. */
  readonly node?: LineageNode;
  /** False for an ancestor of the image that is vetted. */
  readonly final: boolean;
}

/** One stage of it. */
export interface StageUnit {
  readonly stage: DockerfileStage;
  readonly instructions: readonly InstructionUnit[];
  readonly downloads: readonly DownloadRecord[];
}

/** One instruction; an `ONBUILD X` stands as `X`, marked. */
export interface InstructionUnit {
  readonly instruction: DockerfileInstruction;
  readonly onBuild: boolean;
  /** Of ENV, ARG and LABEL; values expanded as far as known. */
  readonly assignments: readonly InstructionAssignment[];
  /** Of RUN. */
  readonly run?: RunOutcome;
}

/** A lineage made ready for the rules. */
export interface LineageUnit {
  readonly lineage: Lineage;
  readonly now: Date;
  /** What other platforms of the image have otherwise; undefined when they were not looked at. */
  readonly divergences?: readonly PlatformDivergence[];
  /** Parsed Dockerfiles by node id. */
  readonly dockerfiles: ReadonlyMap<string, DockerfileUnit>;
  /** Why a node's Dockerfile text could not be parsed, by node id. */
  readonly unparsed: ReadonlyMap<string, string>;
}

/** Prepares a Dockerfile for the rules. */
export function prepareDockerfile(
  dockerfile: Dockerfile,
  options: { readonly now: Date; readonly node?: LineageNode; readonly final: boolean },
): DockerfileUnit {
  const globals = new Map<string, string>();
  for (const instruction of dockerfile.globalArgs) {
    for (const { name, value } of assignmentsOf(instruction, globals)) {
      if (value !== undefined) globals.set(name, value);
    }
  }
  const scopes: Scope[] = [];
  const budget = { characters: MAX_EXPANDED };
  const stages = dockerfile.stages.map((stage) => {
    const parent = stage.base.kind === 'stage' ? scopes[stage.base.stage] : undefined;
    const shell = parent?.shell ?? initialShell(dockerfile, stage, options.node);
    // Only ENV passes to a later stage.
    const environment = new Map(parent?.environment);
    const scope: Scope = { environment, visible: new Map(environment), shell, globals, budget };
    scopes[stage.index] = scope;
    const instructions = stage.instructions.map((instruction) => readInstruction(instruction, scope));
    return { stage, instructions, downloads: trackDownloads(commandsOf(instructions)) };
  });
  return { dockerfile, stages, ...options };
}

/** Every command of every RUN of these instructions, in order. */
export function commandsOf(instructions: readonly InstructionUnit[]): readonly CommandUnit[] {
  return instructions.flatMap(({ instruction, run }) =>
    run?.kind === 'shell' ? run.steps.map((step) => ({ step, instruction })) : [],
  );
}

/** Every command of a Dockerfile. */
export function* commandsIn(unit: DockerfileUnit): Generator<CommandUnit> {
  for (const { instructions } of unit.stages) yield* commandsOf(instructions);
}

/** Every instruction of a Dockerfile, stage by stage; ARGs before the first FROM first. */
export function* instructionsIn(unit: DockerfileUnit): Generator<InstructionUnit> {
  for (const instruction of unit.dockerfile.globalArgs) {
    yield { instruction, onBuild: false, assignments: assignmentsOf(instruction, new Map()) };
  }
  for (const { instructions } of unit.stages) yield* instructions;
}

/** Characters that expanding ENV, ARG and LABEL may give in one Dockerfile. */
const MAX_EXPANDED = 5_000_000;
/** Variables followed in one stage. */
const MAX_VARIABLES = 1000;

interface Scope {
  readonly environment: Map<string, string>;
  /** ENV over ARG. */
  readonly visible: Map<string, string>;
  readonly globals: ReadonlyMap<string, string>;
  readonly budget: ExpansionBudget;
  shell: readonly string[];
}

function readInstruction(written: DockerfileInstruction, scope: Scope): InstructionUnit {
  const onBuild = written.keyword === 'ONBUILD';
  const instruction = onBuild ? trigger(written) : written;
  const { environment, visible, globals, budget } = scope;
  const assignments = assignmentsOf(instruction, visible, budget);
  const run = instruction.keyword === 'RUN' ? readRun(instruction, scope.shell, visible) : undefined;
  // What ONBUILD sets is set in another build.
  if (!onBuild && instruction.keyword === 'SHELL')
    scope.shell = jsonArray(instruction.arguments) ?? scope.shell;
  for (const { name, value } of onBuild ? [] : assignments) {
    if (visible.size >= MAX_VARIABLES && !visible.has(name)) break;
    const known = value ?? globals.get(name);
    if (instruction.keyword === 'ENV') {
      environment.set(name, value ?? '');
      visible.set(name, value ?? '');
    } else if (instruction.keyword === 'ARG' && known !== undefined && !environment.has(name)) {
      visible.set(name, known);
    }
  }
  return { instruction, onBuild, assignments, run };
}

/** The shell that RUN has before any SHELL instruction. */
function initialShell(
  dockerfile: Dockerfile,
  stage: DockerfileStage,
  node: LineageNode | undefined,
): readonly string[] {
  const sets = dockerfile.stages.some(({ instructions }) =>
    instructions.some(({ keyword }) => keyword === 'SHELL'),
  );
  // A shell in the config that no instruction here set was inherited.
  const inherited = sets || stage !== dockerfile.stages.at(-1) ? undefined : node?.image?.execution.Shell;
  if (inherited !== undefined && inherited !== null) return inherited;
  return node?.platform.os === 'windows' || isWindows(dockerfile, stage) ? ['cmd'] : ['/bin/sh', '-c'];
}

function trigger(instruction: DockerfileInstruction): DockerfileInstruction {
  const match = /^\s*([A-Za-z]+)\s*/.exec(instruction.arguments);
  if (match === null) return instruction;
  return {
    ...instruction,
    keyword: match[1]!.toUpperCase(),
    arguments: instruction.arguments.slice(match[0].length),
  };
}

function isWindows(dockerfile: Dockerfile, stage: DockerfileStage): boolean {
  if (dockerfile.escape === '`' || stage.platform?.startsWith('windows') === true) return true;
  return (
    stage.base.kind === 'image' &&
    /(^|\/)(windows|nanoserver|servercore|windowsservercore)(\/|$)/.test(stage.base.reference.repository)
  );
}
