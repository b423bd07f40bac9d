export { startWorld, type World, type WorldOptions } from './world.ts';
