export { collect } from './collect.ts';
export type { Fault } from './faults.ts';
export { makeTar, pushTestImage, pushTestIndex, type TestFile, type TestImage } from './image.ts';
export { startRegistry, type TestRegistry, type TestRegistryOptions } from './registry.ts';
export type { BearerOptions } from './token-server.ts';
