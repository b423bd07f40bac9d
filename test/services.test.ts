import { describe, expect, test } from 'vitest';
import { available, startDockerRegistry, startNotaryServer } from './services.ts';

describe.skipIf(!available('docker-registry'))('startDockerRegistry()', () => {
  test('starts a registry that answers', async () => {
    const registry = await startDockerRegistry();
    try {
      expect((await fetch(`${registry.url}/v2/`)).status).toBe(200);
    } finally {
      await registry.close();
    }
  });
});

describe.skipIf(!available('notary-server', 'openssl'))('startNotaryServer()', () => {
  test('starts a notary whose certificate its CA signed', async () => {
    const notary = await startNotaryServer();
    try {
      const { Agent, request } = await import('undici');
      const response = await request(`${notary.url}/v2/`, {
        dispatcher: new Agent({ connect: { ca: notary.ca } }),
      });
      expect(response.statusCode).toBe(200);
      await response.body.dump();
    } finally {
      await notary.close();
    }
  });
});
