import { RegistryClient } from '@imagevet/registry';
import { startRegistry, type TestRegistry } from '@imagevet/registry/testing';
import { afterAll, afterEach, beforeAll, beforeEach } from 'vitest';

/** A registry in Docker Hub's place. */
export interface DockerHub {
  readonly registry: TestRegistry;
  /** Asks it once for each thing. */
  readonly client: RegistryClient;
}

/** Serves Docker Hub in process to the tests around: one for all of them, or a new one for each. Its members are there while they run. */
export function serveDockerHub(lasting: 'all' | 'each'): DockerHub {
  const hub = {} as { -readonly [K in keyof DockerHub]: DockerHub[K] };
  const [before, after] = lasting === 'all' ? [beforeAll, afterAll] : [beforeEach, afterEach];
  before(async () => {
    hub.registry = await startRegistry();
    hub.client = new RegistryClient({ attempts: 1, hosts: { 'docker.io': { url: hub.registry.url } } });
  });
  after(async () => {
    await hub.client.close();
    await hub.registry.close();
  });
  return hub;
}
