export { makeTar, pushTestImage, pushTestIndex, type TestFile, type TestImage } from './image.ts';
export { startRegistry, type TestRegistry, type TestRegistryOptions } from './registry.ts';
