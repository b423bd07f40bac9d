import { request } from 'undici';
import { expect, it } from 'vitest';
import { startHub } from './hub.ts';

it('startHub() describes a repository and knows no other', async () => {
  const hub = await startHub({ repositories: { 'library/php': { description: '# Quick reference' } } });
  try {
    const found = await request(`${hub.url}/v2/repositories/library/php/`);
    expect(await found.body.json()).toMatchObject({
      namespace: 'library',
      full_description: '# Quick reference',
    });
    const missing = await request(`${hub.url}/v2/repositories/library/constructor/`);
    expect(missing.statusCode).toBe(404);
    expect(await missing.body.json()).toMatchObject({ message: 'object not found' });
    hub.faults.status = 429;
    hub.faults.headers = { 'x-retry-after': '1800000000' };
    const limited = await request(`${hub.url}/v2/repositories/library/php/`);
    expect([limited.statusCode, limited.headers['x-retry-after']]).toEqual([429, '1800000000']);
    await limited.body.dump();
    expect(hub.requests).toHaveLength(3);
  } finally {
    await hub.close();
  }
});
