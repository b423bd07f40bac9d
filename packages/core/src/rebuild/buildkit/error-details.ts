import { fieldsOf } from './protobuf.ts';

const SOURCE = 'github.com/moby/buildkit/errdefs.Source+json';

/**
 * Line of the Dockerfile that a failure is about, as the daemon says it beside its message.
 *
 * @param details - a `google.rpc.Status`
 * @see moby/buildkit, solver/errdefs/errdefs.proto, `Source`
 */
export function lineOf(details: Buffer): number | undefined {
  for (const [field, detail] of fieldsOf(details)) {
    const any = new Map(field === 3 ? fieldsOf(detail) : []);
    if (any.get(1)?.toString('utf8') !== SOURCE) continue;
    const line = startOf(any.get(2));
    if (line !== undefined) return line;
  }
  return undefined;
}

function startOf(source: Buffer | undefined): number | undefined {
  try {
    const { ranges } = Object(JSON.parse(source?.toString('utf8') ?? '')) as { readonly ranges?: unknown };
    const [first] = Array.isArray(ranges) ? ranges : [];
    const line: unknown = Object(Object(first).start).line;
    return Number.isSafeInteger(line) && (line as number) > 0 ? (line as number) : undefined;
  } catch {
    return undefined;
  }
}
