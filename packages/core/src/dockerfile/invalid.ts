import { CoreError } from '../errors.ts';

/** The error for text that is no Dockerfile. */
export function invalid(reason: string, line: number): CoreError {
  return new CoreError('INVALID_DOCKERFILE', `invalid Dockerfile: ${reason} (line ${line})`, {
    details: { line },
  });
}
