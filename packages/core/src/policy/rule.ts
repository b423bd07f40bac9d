import type { Gap } from '../errors.ts';
import { type FactsView, nameOf } from './facts-view.ts';
import type { PolicyRule, Reason } from './types.ts';

/** Why a rule does not hold. `error`: it could not be checked. */
export interface Failure extends Omit<Reason, 'rule' | 'outcome' | 'waivedBy'> {
  readonly outcome: 'fail' | 'error';
  /** True where no exception may help: a contradiction, or a digest that is not the one vouched for. */
  readonly final?: boolean;
}

/** What a rule found: nothing against it, said in one sentence, or every reason against it. */
export type RuleAnswer = { readonly code: string; readonly message: string } | readonly Failure[];

/** How one rule is checked. Pure: the same facts give the same answer, on any machine, at any time. */
export interface RuleCheck<R extends PolicyRule> {
  readonly title: string;
  /** Why a company would ask for it. */
  readonly rationale: string;
  readonly check: (rule: R, view: FactsView) => RuleAnswer;
}

/** The answer of a rule that collected failures. */
export function answer(failures: readonly Failure[], code: string, message: string): RuleAnswer {
  return failures.length > 0 ? failures : { code, message };
}

/** What a rule could not see because a stage reported a gap, but for what `said` another failure says. */
export function gapFailures(
  view: FactsView,
  stages: readonly Gap['stage'][],
  code: string,
  what: string,
  said: (gap: Gap) => boolean = () => false,
): readonly Failure[] {
  return view.reportedGaps
    .filter((gap) => stages.includes(gap.stage) && !said(gap))
    .map((gap) => ({
      outcome: 'error',
      code,
      message: `${what}: ${gap.message} (${gap.code})`,
      ...about(view, gap.node),
      ...(gap.hint === undefined ? {} : { remediation: gap.hint }),
    }));
}

/** The node a failure is about, and the term an exception repeats to waive it. */
export function about(view: FactsView, id: string | undefined): Pick<Failure, 'node' | 'term'> {
  if (id === undefined) return {};
  const node = view.node(id);
  return { node: id, term: node === undefined ? id : nameOf(node) };
}
