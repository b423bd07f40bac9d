export type { JsonValue } from '../json/canonical-json.ts';
export type { MetadataOf } from '../metadata/parse.ts';
export { EvilNotary, type RawMetadata } from './evil-notary.ts';
export {
  type NotaryIntercept,
  type NotaryReply,
  type RunningNotary,
  type StartNotaryOptions,
  startNotary,
} from './notary.ts';
export { type NotaryProxy, startNotaryProxy } from './notary-proxy.ts';
export { NotaryStore, type StoredFile } from './notary-store.ts';
