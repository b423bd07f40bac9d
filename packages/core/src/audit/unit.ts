import type { Dockerfile, DockerfileInstruction, DockerfileStage } from '../dockerfile/types.ts';
import type { Lineage, LineageNode } from '../lineage/types.ts';
import { assignmentsOf, type InstructionAssignment } from './assignments.ts';
import { type DownloadRecord, trackDownloads } from './downloads/track.ts';
import { jsonArray, type RunOutcome, readRun } from './run.ts';
import type { ShellStep } from './shell/steps.ts';

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

/** A command and the instruction it stands in. */
export interface CommandUnit {
  readonly step: ShellStep;
  readonly instruction: DockerfileInstruction;
}

/** A lineage made ready for the rules. */
export interface LineageUnit {
  readonly lineage: Lineage;
  readonly now: Date;
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
  const stages = dockerfile.stages.map((stage) => {
    const parent = stage.base.kind === 'stage' ? scopes[stage.base.stage] : undefined;
    const windows = options.node?.platform.os === 'windows' || isWindows(dockerfile, stage);
    const scope: Scope = {
      // Only ENV passes to a later stage.
      environment: new Map(parent?.environment),
      args: new Map(),
      shell: parent?.shell ?? options.node?.image?.execution.Shell ?? (windows ? ['cmd'] : ['/bin/sh', '-c']),
    };
    scopes[stage.index] = scope;
    const instructions = stage.instructions.map((instruction) =>
      readInstruction(instruction, scope, globals),
    );
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

interface Scope {
  readonly environment: Map<string, string>;
  readonly args: Map<string, string>;
  shell: readonly string[];
}

function readInstruction(
  written: DockerfileInstruction,
  scope: Scope,
  globals: ReadonlyMap<string, string>,
): InstructionUnit {
  const onBuild = written.keyword === 'ONBUILD';
  const instruction = onBuild ? trigger(written) : written;
  const variables = new Map([...scope.args, ...scope.environment]);
  const assignments = assignmentsOf(instruction, variables);
  if (onBuild) {
    const run = instruction.keyword === 'RUN' ? readRun(instruction, scope.shell, variables) : undefined;
    return { instruction, onBuild, assignments, run };
  }
  switch (instruction.keyword) {
    case 'ENV':
      for (const { name, value } of assignments) scope.environment.set(name, value ?? '');
      break;
    case 'ARG':
      for (const { name, value } of assignments) {
        const known = value ?? globals.get(name);
        if (known !== undefined) scope.args.set(name, known);
      }
      break;
    case 'SHELL':
      scope.shell = jsonArray(instruction.arguments) ?? scope.shell;
      break;
    case 'RUN':
      return { instruction, onBuild, assignments, run: readRun(instruction, scope.shell, variables) };
  }
  return { instruction, onBuild, assignments };
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
