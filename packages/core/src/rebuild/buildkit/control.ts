import type { Platform } from '@imagevet/registry';
import { type BuildkitTrace, decodeStatus } from '../engine/buildkit-trace.ts';
import type { SourcePolicy } from '../export/source-policy.ts';
import type { GrpcClient } from './grpc-client.ts';
import { encodeMessage, fieldsOf, mapField, mapOf, type ProtobufMessage } from './protobuf.ts';

const CONTROL = '/moby.buildkit.v1.Control';
const ACTIONS = { ALLOW: 0, DENY: 1, CONVERT: 2 } as const;

/** One build, as the daemon is asked for it. @see moby/buildkit, api/services/control/control.proto, `SolveRequest` */
export interface SolveRequest {
  readonly ref: string;
  readonly session: string;
  readonly frontendAttrs: Readonly<Record<string, string>>;
  /** Nothing is exported without. */
  readonly exporter?: { readonly type: string; readonly attrs: Readonly<Record<string, string>> };
  readonly entitlements?: readonly string[];
  readonly policy?: SourcePolicy;
}

/** Builds; resolves to what the exporter says. */
export async function solve(
  client: GrpcClient,
  request: SolveRequest,
  signal: AbortSignal,
): Promise<ReadonlyMap<string, string>> {
  const { exporter, policy, entitlements = [] } = request;
  const message: ProtobufMessage = [
    [1, request.ref],
    ...(exporter === undefined ? [] : ([[3, exporter.type], ...mapField(4, exporter.attrs)] as const)),
    [5, request.session],
    [6, 'dockerfile.v0'],
    ...mapField(7, request.frontendAttrs),
    ...entitlements.map((name) => [9, name] as const),
    ...(policy === undefined ? [] : ([[12, policyMessage(policy)]] as const)),
  ];
  return mapOf(await client.ask(`${CONTROL}/Solve`, encodeMessage(message), { signal }), 1);
}

/** What a build tells while it runs. */
export async function* watch(
  client: GrpcClient,
  ref: string,
  signal: AbortSignal,
): AsyncGenerator<BuildkitTrace, void, undefined> {
  const call = client.call(`${CONTROL}/Status`, { signal });
  await call.send(encodeMessage([[1, ref]]));
  call.finish();
  for await (const message of call.messages) yield decodeStatus(message);
}

/** The daemon's version, and the platform it builds for natively. */
export async function describe(
  client: GrpcClient,
  signal: AbortSignal | undefined,
): Promise<{ readonly version: string; readonly platform: Platform }> {
  const workers = await client.ask(`${CONTROL}/ListWorkers`, Buffer.alloc(0), { signal });
  const worker = new Map(fieldsOf(workers)).get(1) ?? Buffer.alloc(0);
  const [first] = [...fieldsOf(worker)].flatMap(([field, value]) => (field === 3 ? [value] : []));
  const own = new Map(fieldsOf(first ?? Buffer.alloc(0)));
  const text = (field: number) => own.get(field)?.toString('utf8') ?? '';
  const variant = text(3);
  const platform = {
    os: text(2) || 'linux',
    architecture: text(1) || 'amd64',
    ...(variant === '' ? {} : { variant }),
  };
  return { version: await versionOf(client, signal), platform };
}

/** Daemons before v0.11 do not say. */
async function versionOf(client: GrpcClient, signal: AbortSignal | undefined): Promise<string> {
  const info = await client.ask(`${CONTROL}/Info`, Buffer.alloc(0), { signal }).catch((error: unknown) => {
    if ((error as { readonly status?: number }).status === 12) return Buffer.alloc(0);
    throw error;
  });
  const version = new Map(fieldsOf(new Map(fieldsOf(info)).get(1) ?? Buffer.alloc(0)));
  return version.get(2)?.toString('utf8') ?? 'unknown';
}

/** @see moby/buildkit, sourcepolicy/pb/policy.proto */
function policyMessage({ version, rules }: SourcePolicy): ProtobufMessage {
  return [
    [1, version],
    ...rules.map(
      ({ action, selector, updates }) =>
        [
          2,
          [
            [1, ACTIONS[action]],
            [2, [[1, selector.identifier]]],
            ...(updates === undefined ? [] : ([[3, [[1, updates.identifier]]]] as const)),
          ],
        ] as const,
    ),
  ];
}
