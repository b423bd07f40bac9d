import { parseDockerfile } from '../../dockerfile/parse-dockerfile.ts';

/** Steps BuildKit counts: those that make a layer, and the FROM of an image. */
const BUILDKIT_STEPS: ReadonlySet<string> = new Set(['RUN', 'COPY', 'ADD', 'WORKDIR']);

/**
 * Follows a build through its log, to say which line of the Dockerfile it stands at. What a RUN prints can look like the
 * engine's own words; steps of the classic builder must therefore follow one another.
 */
export class BuildPosition {
  /** Line of the instruction being run, 1-based. */
  line: number | undefined;
  readonly #classic: readonly number[];
  readonly #stages: readonly { readonly name: string; readonly all: number[]; readonly layers: number[] }[];
  #step = 0;

  constructor(dockerfile: string) {
    const { globalArgs, stages } = parseDockerfile(dockerfile);
    this.#stages = stages.map(({ name, index, startLine, instructions, base }) => ({
      name: name ?? `stage-${index}`,
      all: [startLine, ...instructions.map((instruction) => instruction.startLine)],
      layers: [
        ...(base.kind === 'scratch' || base.kind === 'stage' ? [] : [startLine]),
        ...instructions.flatMap((instruction) =>
          BUILDKIT_STEPS.has(instruction.keyword) ? [instruction.startLine] : [],
        ),
      ],
    }));
    // The classic builder counts every instruction, global ARGs included.
    this.#classic = [
      ...globalArgs.map(({ startLine }) => startLine),
      ...this.#stages.flatMap(({ all }) => all),
    ];
  }

  /** A line of the log of the classic builder, or of Podman. */
  read(text: string): void {
    const classic = /^Step (\d{1,5})\/(\d{1,5}) : /.exec(text);
    if (
      classic !== null &&
      Number(classic[1]) === this.#step + 1 &&
      Number(classic[2]) === this.#classic.length
    ) {
      this.#step += 1;
      this.line = this.#classic[this.#step - 1];
    }
    const podman = /^(?:\[(\d{1,5})\/\d{1,5}\] )?STEP (\d{1,5})\/(\d{1,5}): /.exec(text);
    const stage = podman === null ? undefined : this.#stages[Number(podman[1] ?? 1) - 1];
    if (stage !== undefined && Number(podman?.[3]) === stage.all.length)
      this.line = stage.all[Number(podman?.[2]) - 1];
  }

  /** The name of a step of BuildKit: `[build 2/3] RUN make`, `[2/3] RUN make`. */
  readVertex(name: string): void {
    const match = /^\[(?:(\S+) )?(\d{1,5})\/(\d{1,5})\] /.exec(name);
    if (match === null) return;
    const [, stageName, step, total] = match;
    const stage =
      stageName === undefined
        ? this.#stages.at(-1)
        : this.#stages.findLast((known) => known.name === stageName);
    if (stage !== undefined && Number(total) === stage.layers.length)
      this.line = stage.layers[Number(step) - 1];
  }
}
