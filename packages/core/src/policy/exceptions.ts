import type { Digest } from '@imagevet/registry';
import { canonicalJson } from '../canonical-json.ts';
import { type FactsView, order } from './facts-view.ts';
import type { Failure } from './rule.ts';
import type { ExceptionUse, PolicyException, Reason } from './types.ts';

/** Longest life of an exception: what must last longer belongs into the policy. */
export const MAX_EXCEPTION_DAYS = 90;

/** Applies exceptions to failures, and remembers what became of each. */
export class Exceptions {
  readonly #view: FactsView;
  readonly #uses: readonly { readonly exception: PolicyException; use: Omit<ExceptionUse, 'id'> }[];

  constructor(exceptions: readonly PolicyException[], view: FactsView, time: Date) {
    this.#view = view;
    this.#uses = exceptions
      .toSorted((a, b) => order(a.id, b.id) || order(canonicalJson(a), canonicalJson(b)))
      .map((exception) => ({
        exception,
        use: timing(exception, time) ?? subject(exception, view) ?? UNUSED,
      }));
  }

  /** The reason a failure becomes: waived by the first exception that fits, else as it stands. */
  apply(rule: Reason['rule'], { final, ...failure }: Failure): Reason {
    const fitting = this.#uses.filter(({ exception }) => this.#fits(exception, rule, failure));
    if (final) {
      for (const entry of fitting) if (entry.use.status === 'unused') entry.use = notWaivable(failure);
      return { rule, ...failure };
    }
    const waiver = fitting.find(({ use }) => use.status === 'unused' || use.status === 'used');
    if (waiver === undefined) {
      const late = fitting.find(({ use }) => use.status !== 'other-digest' && use.status !== 'not-waivable');
      return {
        rule,
        ...failure,
        ...(late && { message: `${failure.message}; ${said(late.exception.id, late.use)}` }),
      };
    }
    const { id, reason, approvedBy, expires } = waiver.exception;
    waiver.use = { status: 'used', message: `approved by ${approvedBy} until ${expires}` };
    const message = `${failure.message}; waived by ${id} until ${expires}: ${reason} (${approvedBy})`;
    return { rule, ...failure, outcome: 'waived', message, waivedBy: id };
  }

  get uses(): readonly ExceptionUse[] {
    return this.#uses.map(({ exception, use }) => ({ id: exception.id, ...use }));
  }

  #fits(exception: PolicyException, rule: Reason['rule'], failure: Failure): boolean {
    if (exception.rule !== rule) return false;
    if (exception.term !== undefined && exception.term !== failure.term) return false;
    return subjects(this.#view, failure.node).includes(exception.digest);
  }
}

const UNUSED: Omit<ExceptionUse, 'id'> = { status: 'unused', message: 'nothing to waive' };

function timing(exception: PolicyException, time: Date): Omit<ExceptionUse, 'id'> | undefined {
  const now = time.getTime();
  const end = Date.parse(exception.expires);
  const start = exception.approvedAt === undefined ? now : Date.parse(exception.approvedAt);
  if (now >= end) return { status: 'expired', message: `expired ${exception.expires}` };
  if (now < start) return { status: 'not-yet-effective', message: `effective from ${exception.approvedAt}` };
  if (end - start > MAX_EXCEPTION_DAYS * 86_400_000) {
    return { status: 'too-long', message: `lasts longer than ${MAX_EXCEPTION_DAYS} days` };
  }
  return undefined;
}

function subject(exception: PolicyException, view: FactsView): Omit<ExceptionUse, 'id'> | undefined {
  if (view.nodes.some(({ image }) => image?.manifest.digest === exception.digest)) return undefined;
  return { status: 'other-digest', message: `no image of the lineage is ${exception.digest}` };
}

/** The image asked about, and the ancestor a failure is about. */
function subjects(view: FactsView, node: string | undefined): readonly Digest[] {
  return [view.facts.lineage.root, node]
    .map((id) => (id === undefined ? undefined : view.node(id)?.image?.manifest.digest))
    .filter((digest) => digest !== undefined);
}

function notWaivable(failure: Pick<Failure, 'code'>): Omit<ExceptionUse, 'id'> {
  return { status: 'not-waivable', message: `${failure.code} cannot be waived` };
}

function said(id: string, use: Omit<ExceptionUse, 'id'>): string {
  return `exception ${id} does not apply: ${use.message}`;
}
