import { formatReference, type ImageReference, ImagevetError } from '@imagevet/registry';
import { parseDockerfile } from '../../dockerfile/parse-dockerfile.ts';
import { CoreError } from '../../errors.ts';
import { pushStatus } from '../engine/failures.ts';
import { lineOf } from './error-details.ts';
import { GrpcFailure } from './grpc-client.ts';
import { isDenial } from './policy-probe.ts';

/** Statuses that say the daemon went away. @see grpc, statuscodes.md, UNAVAILABLE */
const UNAVAILABLE = 14;

/** A build that did not become an image. */
export interface FailedBuild {
  readonly address: string;
  readonly target: ImageReference;
  readonly dockerfile: string;
  /** Line of the last step that failed, as far as its name tells. */
  readonly line: number | undefined;
  /** What that step said. */
  readonly told: string | undefined;
}

/** Says what became of a build, by what the daemon answered or by how the connection to it ended. */
export function buildFailure(error: unknown, build: FailedBuild): unknown {
  if (error instanceof GrpcFailure && error.status !== UNAVAILABLE) {
    return failed(error.message, lineOf(error.details), build);
  }
  if (!(error instanceof GrpcFailure) && (ImagevetError.is(error) || !isOfConnection(error))) return error;
  // The connection may end on the answer itself, when its headers are too large.
  if (!(error instanceof GrpcFailure) && build.told !== undefined)
    return failed(build.told, undefined, build);
  return new CoreError('ENGINE_LOST', `the BuildKit at ${build.address} went away during the build`, {
    cause: error,
  });
}

function isOfConnection(error: unknown): boolean {
  const { code } = Object(error) as { readonly code?: unknown };
  return typeof code === 'string' && /^(?:ERR_HTTP2|ERR_STREAM|ECONN|EPIPE|ETIMEDOUT)/.test(code);
}

function failed(message: string, place: number | undefined, build: FailedBuild): CoreError {
  if (/failed to push|pushing layers/.test(message)) {
    const status = pushStatus(message);
    return new CoreError('PUSH_FAILED', `pushing ${formatReference(build.target)} failed: ${message}`, {
      ...(status === undefined ? {} : { details: { status } }),
    });
  }
  const line = place ?? lineOfDenied(build.dockerfile, message) ?? build.line;
  const exitCode = Number(/exit code: (\d{1,3})\b/.exec(message)?.[1]);
  return new CoreError(
    'BUILD_FAILED',
    `the build failed${line === undefined ? '' : ` in line ${line}`}: ${message}`,
    {
      ...(isDenial(message)
        ? {
            hint: 'The plan neither builds nor pins it; name it in allowedSources to let the build fetch it.',
          }
        : {}),
      details: {
        ...(line === undefined ? {} : { line }),
        ...(Number.isInteger(exitCode) ? { exitCode } : {}),
      },
    },
  );
}

/** An ADD of what the policy denies fails before its step has a place. */
function lineOfDenied(dockerfile: string, message: string): number | undefined {
  const source = /source "([^"]+)" denied/.exec(message)?.[1];
  if (source === undefined) return undefined;
  const instructions = parseDockerfile(dockerfile).stages.flatMap((stage) => stage.instructions);
  return instructions.find(({ keyword, arguments: text }) => keyword === 'ADD' && text.includes(source))
    ?.startLine;
}
