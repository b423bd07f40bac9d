import { ImagevetError, RegistryError } from '@imagevet/registry';

/** Which of the two images. */
export type Side = 'original' | 'rebuilt';

/** Says in an error which image it is about; what is no imagevet error, such as an abort reason, stays as it is. */
export function ofSide(side: Side, error: unknown): unknown {
  if (!ImagevetError.is(error)) return error;
  const message = `${side} image: ${error.message}`;
  const options = { cause: error, hint: error.hint, details: { ...error.details, side } };
  return error instanceof RegistryError
    ? new RegistryError(error.code, message, options)
    : new ImagevetError(error.code, message, options);
}
