import type { OperationOptions } from '@imagevet/registry';
import type { SignableTarget } from './collection/changes.ts';
import type { PublishResult } from './collection/publish.ts';
import type { TrustedCollectionOptions } from './collection/published-collection.ts';
import { TrustedCollection } from './collection/trusted-collection.ts';
import { TrustError } from './errors.ts';

/** What to sign, where, and with which keys. */
export interface SignTagsOptions extends TrustedCollectionOptions, OperationOptions {
  /** Collection name (GUN): registry and repository, as in `registry.example.com/library/php`. */
  readonly collection: string;
  /** Tags with the digest and size of their manifest or index; no image needs to be here. */
  readonly targets: readonly SignableTarget[];
  /** @defaultValue the roles docker would sign: `targets`, or every delegation a key of the store belongs to */
  readonly roles?: readonly string[];
}

/**
 * Signs tags of a collection in one publish, and sets the collection up when it does not exist.
 *
 * @throws {@link TrustError} what {@link TrustedCollection.publish} throws
 */
export async function signTags(options: SignTagsOptions): Promise<PublishResult> {
  const { collection, targets, roles, signal } = options;
  if (targets.length === 0) throw new TrustError('INVALID_OPTIONS', `sign ${collection}: no tags were given`);
  const draft = new TrustedCollection(collection, options);
  for (const target of targets) draft.setTarget(target, roles === undefined ? {} : { roles });
  return draft.publish(signal === undefined ? {} : { signal });
}

/** Signs one tag. @see {@link signTags} */
export async function signTag(
  target: SignableTarget,
  options: Omit<SignTagsOptions, 'targets'>,
): Promise<PublishResult> {
  return signTags({ ...options, targets: [target] });
}
