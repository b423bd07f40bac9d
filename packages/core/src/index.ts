export type * from './audit/types.ts';
export {
  type CompareImagesOptions,
  type CompareProgress,
  compareImages,
} from './compare/compare-images.ts';
export type * from './compare/types.ts';
export type * from './dockerfile/types.ts';
export { CoreError, type CoreErrorCode, type Gap } from './errors.ts';
export type * from './lineage/types.ts';
export type * from './policy/types.ts';
export type * from './rebuild/types.ts';
export type * from './report/types.ts';
