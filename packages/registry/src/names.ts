// Entry `@imagevet/registry/names`: names, digests and errors, without what speaks to a registry.
export {
  type Digest,
  type DigestAlgorithm,
  Digester,
  digestAlgorithm,
  digestHex,
  digestOf,
  isDigest,
  parseDigest,
} from './digest.ts';
export { ImagevetError, type ImagevetErrorOptions, RegistryError, type RegistryErrorCode } from './errors.ts';
export {
  familiarReference,
  formatReference,
  type ImageReference,
  parseReference,
  type Repository,
  withDefaultTag,
} from './reference.ts';
