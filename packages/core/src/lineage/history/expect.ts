import { type ExecutionConfig, ImagevetError } from '@imagevet/registry';
import { parseDockerfile } from '../../dockerfile/parse-dockerfile.ts';
import { finalStage } from '../../dockerfile/queries.ts';
import type { Dockerfile, DockerfileInstruction, DockerfileStage } from '../../dockerfile/types.ts';
import { acceptorOf } from './accept.ts';
import type { Recorded } from './recorded.ts';
import { Scope } from './scope.ts';

/** An instruction that must have left an entry in the history. */
export interface Expected {
  readonly line: number;
  readonly keyword: string;
  /** The instruction, as far as it is known what a history says of it. */
  readonly text: string;
  /** Set when it is a trigger of the base: `line` is then that of the FROM it ran at. */
  readonly trigger?: true;
  /** Tells whether an entry can be its own. */
  readonly accepts: (recorded: Recorded) => boolean;
}

/** What the history of an image holds when a Dockerfile made it on a base; what the base's entries are is not part of it. */
export function expectInstructions(
  dockerfile: Dockerfile,
  base: ExecutionConfig | undefined,
): readonly Expected[] {
  const chain = stagesBelow(dockerfile);
  const onScratch = chain[0]?.base.kind === 'scratch';
  const scope = new Scope(dockerfile.escape, onScratch ? {} : base);
  const expected: Expected[] = [];
  let triggers: readonly string[] = onScratch ? [] : (base?.OnBuild ?? []);
  for (const stage of chain) {
    scope.startStage();
    for (const trigger of triggers) {
      const instruction = readTrigger(trigger);
      const line = stage.startLine;
      expected.push({ ...expect(instruction ?? UNREADABLE, scope), line, trigger: true });
    }
    for (const instruction of stage.instructions) expected.push(expect(instruction, scope));
    triggers = stage.instructions
      .filter(({ keyword }) => keyword === 'ONBUILD')
      .map((trigger) => withHeredocs(trigger));
  }
  return expected;
}

/** The final stage after those it stands on. */
function stagesBelow(dockerfile: Dockerfile): readonly DockerfileStage[] {
  const chain: DockerfileStage[] = [];
  let stage: DockerfileStage | undefined = finalStage(dockerfile);
  while (stage !== undefined) {
    chain.push(stage);
    const next: DockerfileStage | undefined =
      stage.base.kind === 'stage' ? dockerfile.stages[stage.base.stage] : undefined;
    stage = next !== undefined && next.index < stage.index ? next : undefined;
  }
  return chain.reverse();
}

function expect(instruction: DockerfileInstruction, scope: Scope): Expected {
  const { keyword, startLine: line } = instruction;
  return { line, keyword, ...acceptorOf(instruction, scope) };
}

/** Stands for a trigger this parser refuses: anything may have come of it. */
const UNREADABLE: DockerfileInstruction = {
  keyword: 'ONBUILD',
  flags: [],
  arguments: '',
  heredocs: [],
  startLine: 1,
  endLine: 1,
};

function readTrigger(trigger: string): DockerfileInstruction | undefined {
  try {
    return parseDockerfile(`FROM scratch\n${trigger}`).stages[0]?.instructions[0];
  } catch (error) {
    if (!ImagevetError.is(error)) throw error;
    return undefined;
  }
}

function withHeredocs(trigger: DockerfileInstruction): string {
  const bodies = trigger.heredocs.map(({ content, name }) => `\n${content}${name}`);
  return trigger.arguments + bodies.join('');
}
