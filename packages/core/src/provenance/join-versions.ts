import { formatReference, type ImageReference, ImagevetError } from '@imagevet/registry';
import type { OtherVersions } from '../lineage/options.ts';

/**
 * Asks several for other versions of a base, one after the other, and gives each version once. One that fails does not keep the
 * others from being asked; its error is thrown when all have been.
 */
export function joinVersions(...all: readonly OtherVersions[]): OtherVersions {
  return async function* versions(reference, options): AsyncGenerator<ImageReference> {
    const seen = new Set<string>();
    const failures: ImagevetError[] = [];
    for (const one of all) {
      try {
        for await (const version of one(reference, options)) {
          const name = formatReference(version);
          if (seen.has(name)) continue;
          seen.add(name);
          yield version;
        }
      } catch (error) {
        options.signal?.throwIfAborted();
        if (!ImagevetError.is(error)) throw error;
        failures.push(error);
      }
    }
    const [first] = failures;
    if (first !== undefined) throw first;
  };
}
