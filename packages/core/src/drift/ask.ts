import {
  type Descriptor,
  ImagevetError,
  type OperationOptions,
  RegistryError,
  type Resolver,
} from '@imagevet/registry';
import type { DriftFailure } from './types.ts';
import type { WatchedName } from './watched-names.ts';

/** What a registry says about a name now. */
export type Answer =
  | { readonly type: 'found'; readonly descriptor: Descriptor }
  | { readonly type: 'gone' }
  | { readonly type: 'failed'; readonly error: DriftFailure };

/** Asks a registry what a name is now. Only its word that there is no such thing makes it `gone`. */
export async function ask(
  name: WatchedName,
  source: Resolver,
  { signal }: OperationOptions,
): Promise<Answer> {
  signal?.throwIfAborted();
  try {
    return { type: 'found', descriptor: await source.resolve(name.reference, { signal }) };
  } catch (error) {
    if (signal?.aborted === true) throw signal.reason;
    if (error instanceof RegistryError && error.code === 'NOT_FOUND') return { type: 'gone' };
    return { type: 'failed', error: failureOf(error) };
  }
}

/** An error as data; what is none of ours is a defect, and thrown. */
export function failureOf(error: unknown): DriftFailure {
  if (!ImagevetError.is(error)) throw error;
  const { code, message, hint } = error;
  return { code, message, ...(hint === undefined ? {} : { hint }) };
}
