import { fieldsOf } from '../buildkit/protobuf.ts';

/** What a BuildKit trace message tells: steps that were begun or ended, and what they printed. */
export interface BuildkitTrace {
  readonly vertexes: readonly { readonly digest: string; readonly name: string; readonly error?: string }[];
  readonly logs: readonly { readonly vertex: string; readonly bytes: Uint8Array }[];
}

/**
 * Decodes the `aux` of a `moby.buildkit.trace` message: a protobuf `StatusResponse`. What cannot be decoded is left out.
 *
 * @see moby/buildkit, api/services/control/control.proto
 */
export function decodeBuildkitTrace(aux: unknown): BuildkitTrace {
  return decodeStatus(typeof aux === 'string' ? Buffer.from(aux, 'base64') : Buffer.alloc(0));
}

/** Decodes a `StatusResponse`. What cannot be decoded is left out. */
export function decodeStatus(bytes: Buffer): BuildkitTrace {
  const vertexes: BuildkitTrace['vertexes'][number][] = [];
  const logs: BuildkitTrace['logs'][number][] = [];
  for (const [field, value] of fieldsOf(bytes)) {
    if (field === 1) {
      const own = new Map(fieldsOf(value));
      const error = own.get(7)?.toString('utf8') ?? '';
      vertexes.push({
        digest: own.get(1)?.toString('utf8') ?? '',
        name: own.get(3)?.toString('utf8') ?? '',
        ...(error === '' ? {} : { error }),
      });
    } else if (field === 3) {
      const own = new Map(fieldsOf(value));
      logs.push({ vertex: own.get(1)?.toString('utf8') ?? '', bytes: own.get(4) ?? Buffer.alloc(0) });
    }
  }
  return { vertexes, logs };
}
