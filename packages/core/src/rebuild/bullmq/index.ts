// Rebuilding on many machines: the steps of a plan as jobs on Redis or Valkey. Needs the optional peers `bullmq` and
// `ioredis`.
export type { QueueConnection } from './connection.ts';
export { openStepQueue, type StepQueue, type StepQueueOptions } from './step-queue.ts';
export { type StepWorker, type StepWorkerOptions, startStepWorker } from './step-worker.ts';
