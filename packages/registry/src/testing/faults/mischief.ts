import type { Answer } from '../answer.ts';
import type { StoreRequest } from '../registry-store.ts';
import { type AuthenticationFault, authentication } from './authentication.ts';
import { type ConnectionFault, connections } from './connections.ts';
import { type ContentFault, content } from './content.ts';
import type { FaultDescription, FaultKind, FaultMaker, FaultPlaces, FaultRule } from './fault.ts';
import { type ListFault, lists } from './lists.ts';
import { type RedirectFault, redirects } from './redirects.ts';
import { type UploadFault, uploads } from './uploads.ts';

/** A way to misbehave, by name; {@link listFaults} says what each does. */
export type Fault =
  | AuthenticationFault
  | RedirectFault
  | ContentFault
  | ConnectionFault
  | ListFault
  | UploadFault;

const KINDS: readonly FaultKind<string>[] = [authentication, redirects, content, connections, lists, uploads];
const MAKERS: ReadonlyMap<string, FaultMaker> = new Map(
  KINDS.flatMap(({ faults }) => Object.entries(faults)),
);

/** Every fault a test registry can be asked for, by kind. */
export function listFaults(): readonly (FaultDescription & { readonly name: Fault })[] {
  return KINDS.flatMap(({ threat, faults }) =>
    Object.entries(faults).map(([name, { does }]) => ({ name: name as Fault, threat, does })),
  );
}

/** Plays the faults of one registry. */
export class Mischief {
  readonly #rules: readonly { readonly rule: FaultRule; before: number; after: number }[];
  readonly #places: FaultPlaces;

  constructor(faults: readonly Fault[], places: FaultPlaces) {
    this.#rules = faults.map((name) => {
      const maker = MAKERS.get(name);
      if (maker === undefined) throw new TypeError(`there is no fault ${JSON.stringify(name)}`);
      return { rule: maker.make(), before: 0, after: 0 };
    });
    this.#places = places;
  }

  before(request: StoreRequest): Answer | undefined {
    for (const state of this.#rules) {
      const early = state.rule.before?.(request, this.#places, state.before + 1);
      if (early === undefined) continue;
      state.before += 1;
      return early;
    }
    return undefined;
  }

  after(request: StoreRequest, honest: Answer): Answer {
    return this.#rules.reduce((given, state) => {
      const changedAnswer = state.rule.after?.(request, given, this.#places, state.after + 1) ?? given;
      if (changedAnswer !== given) state.after += 1;
      return changedAnswer;
    }, honest);
  }
}
