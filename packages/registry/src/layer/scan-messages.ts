import type { ImagevetError } from '../errors.ts';
import type { ScanLayerOptions } from './scan-layer.ts';
import type { LayerScan } from './types.ts';

/** What of the options can go to another thread. */
export type ThreadedScanOptions = Omit<ScanLayerOptions, 'signal' | 'keepContent'> & {
  readonly keepContent?: RegExp;
};

/** To a worker: a layer begins, its bytes, its end. */
export type ToScanWorker =
  | { readonly type: 'start'; readonly options: ThreadedScanOptions }
  | { readonly type: 'chunk'; readonly bytes: Uint8Array<ArrayBuffer> }
  | { readonly type: 'end' };

/** From a worker: it runs, it has read a chunk and gives the memory back, it has the result. */
export type FromScanWorker =
  | { readonly type: 'ready' }
  | { readonly type: 'read'; readonly buffer: ArrayBuffer }
  | { readonly type: 'done'; readonly scan: LayerScan }
  | { readonly type: 'failed'; readonly error: ReturnType<ImagevetError['toJSON']> | string };
