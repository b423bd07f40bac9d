import type { OperationOptions } from '@imagevet/registry';
import type { ProvenanceClaim, SourceHost } from '../types.ts';

/** A host, and the reading of files before anybody waits for them. */
export interface EagerHost {
  readonly host: SourceHost;
  /** Starts to read the Dockerfile that statements name first; a failure shows when the file is read. */
  start(claims: readonly ProvenanceClaim[]): void;
}

/** Reads each file once, whoever asked first. */
export function eagerHost(host: SourceHost, { signal }: OperationOptions): EagerHost {
  const files = new Map<string, ReturnType<SourceHost['readFile']>>();
  const readFile: SourceHost['readFile'] = (repository, commit, path, options) => {
    const key = JSON.stringify([repository, commit, path]);
    const file = files.get(key) ?? host.readFile(repository, commit, path, options);
    files.set(key, file);
    return file;
  };
  return {
    host: { ...host, readFile },
    start: (claims) => {
      const named = claims.find(({ location, heuristic }) => location !== undefined && heuristic !== true);
      const { location, dockerfile } = named ?? {};
      if (location === undefined || dockerfile !== undefined || !host.supports(location.repository)) return;
      readFile(location.repository, location.commit, location.path, { signal }).catch(() => {});
    },
  };
}
