import { ImagevetError, type OperationOptions, type Resolver } from '@imagevet/registry';
import pLimit from 'p-limit';
import type { Gap } from '../errors.ts';
import type { Lineage, LineageNode } from './types.ts';

const CONCURRENCY = 8;

/** Options of {@link askWitnesses}. */
export interface AskWitnessesOptions extends OperationOptions {
  /** The view the lineage was resolved with. */
  readonly registry: Resolver;
  /** The same registries seen otherwise: with other credentials, another user agent, from another network. */
  readonly witnesses: readonly Resolver[];
}

/**
 * Asks others what the tags of a lineage stand for. A registry that shows one client another image than the next would have
 * one image vetted and another one run.
 *
 * @returns `REGISTRY_EQUIVOCATION` for each tag that two views see otherwise at the same time; the error's code where a
 * witness could not be asked; nothing when all agree
 */
export async function askWitnesses(lineage: Lineage, options: AskWitnessesOptions): Promise<readonly Gap[]> {
  const limit = pLimit(CONCURRENCY);
  const asked = lineage.nodes
    .filter(({ image, reference }) => image !== undefined && reference.digest === undefined)
    .flatMap((node) => options.witnesses.map((witness) => limit(() => ask(node, witness, options))));
  return (await Promise.all(asked)).flatMap((gap) => gap ?? []);
}

async function ask(
  { id, image, reference }: LineageNode,
  witness: Resolver,
  { registry, signal }: AskWitnessesOptions,
): Promise<Gap | undefined> {
  const resolve = async (view: Resolver) => (await view.resolve(reference, { signal })).digest;
  try {
    const seen = (image?.index ?? image?.manifest)?.digest;
    if ((await resolve(witness)) === seen) return undefined;
    // The tag may have moved since.
    const [own, other] = [await resolve(registry), await resolve(witness)];
    if (own === other) return undefined;
    return {
      stage: 'resolve',
      code: 'REGISTRY_EQUIVOCATION',
      message: `${reference.registry} shows one client ${own} and another ${other}`,
      node: id,
      hint: 'Name the image by digest, and find out what the registry answers by.',
    };
  } catch (error) {
    if (signal?.aborted === true || !ImagevetError.is(error)) throw error;
    return {
      stage: 'resolve',
      code: error.code,
      message: `a witness could not be asked: ${error.message}`,
      node: id,
    };
  }
}
