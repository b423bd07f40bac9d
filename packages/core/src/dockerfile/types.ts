import type { ImageReference } from '@imagevet/registry';

/** What a Dockerfile is built with, beside its context. */
export interface BuildParameters {
  /** Values of ARGs, over their defaults. */
  readonly buildArgs?: Readonly<Record<string, string>>;
  /** The stage that becomes the image, by name or number. @defaultValue the last one */
  readonly target?: string;
}

/** Where an instruction stands; lines are 1-based and inclusive. */
export interface LineRange {
  readonly startLine: number;
  readonly endLine: number;
}

/** A `--name=value` flag of an instruction. */
export interface DockerfileFlag {
  readonly name: string;
  /** Empty where the flag has none. */
  readonly value: string;
  /** Set where there is no `=` either: `--link`. */
  readonly bare?: true;
}

/** A heredoc body of RUN, COPY or ADD. */
export interface DockerfileHeredoc {
  readonly name: string;
  /** False when the delimiter was quoted. */
  readonly expand: boolean;
  readonly content: string;
}

/** One instruction as written. */
export interface DockerfileInstruction extends LineRange {
  /** Upper case. */
  readonly keyword: string;
  readonly flags: readonly DockerfileFlag[];
  /** What follows keyword and flags: continuations joined, comments removed, variables not expanded. */
  readonly arguments: string;
  readonly heredocs: readonly DockerfileHeredoc[];
}

/** What a `FROM`, `COPY --from` or `RUN --mount=from=` names, after ARG expansion. */
export type BaseName =
  | { readonly kind: 'image'; readonly reference: ImageReference; readonly text: string }
  | { readonly kind: 'stage'; readonly stage: number; readonly text: string }
  | { readonly kind: 'scratch'; readonly text: 'scratch' }
  /** Could not be resolved: an ARG without value, an empty or invalid name. */
  | { readonly kind: 'unresolved'; readonly text: string; readonly reason: string };

/** A use of another image or stage inside a stage. */
export interface StageInput extends LineRange {
  readonly kind: 'copy-from' | 'mount-from';
  readonly name: BaseName;
}

/** One build stage. */
export interface DockerfileStage extends LineRange {
  readonly index: number;
  /** Lower case, as BuildKit compares it. */
  readonly name?: string;
  /** The `FROM` argument as written. */
  readonly fromText: string;
  readonly base: BaseName;
  /** `--platform` after expansion. */
  readonly platform?: string;
  readonly inputs: readonly StageInput[];
  /** Without the `FROM` itself. */
  readonly instructions: readonly DockerfileInstruction[];
}

/** A Dockerfile as BuildKit reads it. */
export interface Dockerfile {
  readonly text: string;
  readonly escape: '\\' | '`';
  /** The `# syntax=` frontend image, when named. */
  readonly syntax?: { readonly text: string; readonly line: number };
  /** ARG instructions before the first FROM. */
  readonly globalArgs: readonly DockerfileInstruction[];
  /** The stage that was asked for, when one was. */
  readonly target?: string;
  readonly stages: readonly DockerfileStage[];
}
