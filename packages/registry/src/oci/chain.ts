import { type Digest, digestOf } from '../digest.ts';

/**
 * Computes the chainId of every layer: of the first its diffId, of each further one the digest of the chain below it and
 * its own diffId. Two images share their first n layers, in content and order, exactly when their n-th chainIds are equal.
 *
 * @see OCI image-spec, config.md, "Layer ChainID"
 */
export function chainIds(diffIds: readonly Digest[]): readonly Digest[] {
  const chain: Digest[] = [];
  for (const diffId of diffIds) {
    const below = chain.at(-1);
    chain.push(below === undefined ? diffId : digestOf(`${below} ${diffId}`));
  }
  return chain;
}
