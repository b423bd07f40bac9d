import { type Answer, answer } from '../answer.ts';
import type { StoreRequest } from '../registry-store.ts';

/** What a fault does, for whoever looks for one. */
export interface FaultDescription {
  readonly name: string;
  /** What it stands for: `wrong bytes`, `redirects`. */
  readonly threat: string;
  /** What the registry does, in one sentence. */
  readonly does: string;
}

/** Places a fault can lead to. */
export interface FaultPlaces {
  /** The registry's own origin. */
  readonly url: string;
  /** Another origin. */
  readonly elsewhere: string;
}

/**
 * An address inside the caller's network where nobody listens: a client that follows there must do no harm, as it would at
 * the metadata address of a cloud.
 */
export const INSIDE = 'http://127.0.0.2:9';

/** What a fault changes of the answers. `count` is how often it has acted, with this time. */
export interface FaultRule {
  /** Answers instead of the registry. */
  readonly before?: (request: StoreRequest, places: FaultPlaces, count: number) => Answer | undefined;
  /** Changes the registry's answer. */
  readonly after?: (request: StoreRequest, honest: Answer, places: FaultPlaces, count: number) => Answer;
}

/** A fault and how to make its rule; what a rule remembers is of one registry. */
export interface FaultMaker extends Omit<FaultDescription, 'name' | 'threat'> {
  readonly make: () => FaultRule;
}

/** The faults of one kind, by name. */
export interface FaultKind<Name extends string> {
  readonly threat: string;
  readonly faults: Readonly<Record<Name, FaultMaker>>;
}

export const isBlob = ({ method, path }: StoreRequest): boolean =>
  method === 'GET' && path.includes('/blobs/') && !path.includes('/uploads/');
export const isManifest = ({ method, path }: StoreRequest): boolean =>
  method === 'GET' && path.includes('/manifests/');
/** HEAD or GET of what a tag names. */
export const isTagged = ({ method, path }: StoreRequest): boolean =>
  (method === 'GET' || method === 'HEAD') && /\/manifests\/[^:]+$/.test(path);
export const isContent = (request: StoreRequest): boolean => isBlob(request) || isManifest(request);
export const isUpload = ({ path }: StoreRequest): boolean => path.includes('/blobs/uploads/');

/** A fault that always acts the same way. */
export function fault(does: string, rule: FaultRule): FaultMaker {
  return { does, make: () => rule };
}

/** A fault that answers for the registry. */
export function instead(
  does: string,
  when: (request: StoreRequest) => boolean,
  given: (request: StoreRequest, places: FaultPlaces, count: number) => Answer | undefined,
): FaultMaker {
  return fault(does, {
    before: (request, places, count) => (when(request) ? given(request, places, count) : undefined),
  });
}

/** A fault that changes what the registry answers with success. */
export function changed(
  does: string,
  when: (request: StoreRequest) => boolean,
  change: (honest: Answer, count: number) => Answer,
): FaultMaker {
  const ok = ({ status }: Answer) => status === 200 || status === 206;
  return fault(does, {
    after: (request, honest, _places, count) =>
      when(request) && ok(honest) ? change(honest, count) : honest,
  });
}

export function withHeaders(honest: Answer, headers: Answer['headers']): Answer {
  return { ...honest, headers: { ...honest.headers, ...headers } };
}

/** The challenge for a bearer token of a realm. */
export function challenge(realm: string, scope: string): Answer {
  return answer(401, { 'www-authenticate': `Bearer realm="${realm}",service="test",scope="${scope}"` });
}
