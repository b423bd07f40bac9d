import { ImagevetError } from '@imagevet/registry';
import { CoreError } from '../../errors.ts';

const UNREACHABLE: ReadonlySet<string> = new Set([
  'ENOENT',
  'ECONNREFUSED',
  'EACCES',
  'ENOTFOUND',
  'EHOSTUNREACH',
  'ETIMEDOUT',
]);
const LOST: ReadonlySet<string> = new Set(['ECONNRESET', 'EPIPE', 'ERR_STREAM_PREMATURE_CLOSE']);

/** A certificate that is not accepted, by us or by the engine. */
const TLS = /^(?:ERR_TLS|ERR_SSL|DEPTH_|SELF_SIGNED|UNABLE_TO|CERT_)/;

/** What a failure of the engine's client means. An abort stays what it is. */
export function engineFailure(error: unknown, engine: string, signal: AbortSignal | undefined): unknown {
  if (signal?.aborted === true) return signal.reason;
  if (ImagevetError.is(error)) return error;
  const { code = '', statusCode, message } = error as NodeJS.ErrnoException & { statusCode?: number };
  if (UNREACHABLE.has(code) || TLS.test(code)) {
    return new CoreError('ENGINE_UNREACHABLE', `${engine} cannot be reached: ${code}`, {
      cause: error,
      hint: TLS.test(code)
        ? 'Check the certificates given for the engine.'
        : 'Start a Docker Engine, or name its address (DOCKER_HOST).',
    });
  }
  if (LOST.has(code) || message === 'aborted') return engineLost(engine, error);
  if (statusCode === undefined) return error;
  const words = (message ?? String(error)).replaceAll(/\p{C}/gu, ' ').slice(0, 500).trim();
  // The classic builder refuses what it cannot read before it starts.
  const refusal =
    statusCode === 400 && /dockerfile parse error|unknown instruction|failed to process/i.test(words);
  return new CoreError(refusal ? 'BUILD_FAILED' : 'ENGINE_REFUSED', `${engine} refused: ${words}`, {
    cause: error,
    details: { status: statusCode },
  });
}

/** The engine stopped in the middle of work. */
export function engineLost(engine: string, cause?: unknown): CoreError {
  return new CoreError('ENGINE_LOST', `${engine} went away during the work`, {
    cause,
    hint: 'This says nothing about the image. Run the rebuild again.',
  });
}

/** The status a registry refused a push with, as Docker Engine and BuildKit tell of it; undefined when they tell of none. */
export function pushStatus(told: string): number | undefined {
  const status = /\bstatus\b[^\n]{0,1000}?: ([45]\d\d)\b/.exec(told)?.[1];
  return status === undefined ? undefined : Number(status);
}
