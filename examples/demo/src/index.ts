export { startWorld, type World } from './world.ts';
