// The threat table: what a hostile registry may try, each row by its number, against the real client.
import { randomBytes } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { staticKeychain } from '../auth/keychain.ts';
import { resolveImage } from '../content/image.ts';
import { blobOf, readBlob } from '../content/read.ts';
import { Digester, digestOf } from '../digest.ts';
import { isInternalAddress } from '../http/egress.ts';
import type { Descriptor } from '../oci/types.ts';
import { parseReference } from '../reference.ts';
import { collect } from '../testing/collect.ts';
import type { Fault } from '../testing/faults/mischief.ts';
import { pushTestImage } from '../testing/image.ts';
import { startRegistry, type TestRegistry, type TestRegistryOptions } from '../testing/registry.ts';
import { makeCertificates } from '../testing/tls.ts';
import { RegistryClient, type RegistryClientOptions } from './client.ts';

const CREDENTIALS = { username: 'alice', password: 'hunter2-secret' };
const BASIC = `Basic ${Buffer.from('alice:hunter2-secret').toString('base64')}`;
const CONTENT = Buffer.from('layer bytes '.repeat(50_000));
const BLOB: Descriptor = {
  mediaType: 'application/octet-stream',
  digest: digestOf(CONTENT),
  size: CONTENT.byteLength,
};
/** Takes 127.0.0.1 for a public address, so that a guard has something to guard. */
const ONE_PUBLIC_LOOPBACK = {
  isInternalAddress: (address: string) => address !== '127.0.0.1' && isInternalAddress(address),
};

/** An evil twin: it holds one image and one blob, and then misbehaves. */
async function evil(
  faults: readonly Fault[],
  options: TestRegistryOptions = {},
  client: RegistryClientOptions = {},
) {
  const registry = await startRegistry(options);
  const subject = clientOf(registry, client);
  const reference = parseReference(`${registry.host}/app:1`);
  const image = await pushTestImage(subject, reference, { layers: [[{ path: 'a', content: 'a' }]] });
  await subject.pushBlob(reference, blobOf(CONTENT, BLOB));
  await subject.close();
  registry.misbehave(...faults);
  const fresh = clientOf(registry, client);
  return {
    registry,
    client: fresh,
    reference,
    image,
    readContent: (signal?: AbortSignal) => readBlob(fresh, reference, BLOB, { signal }),
    [Symbol.asyncDispose]: async () => {
      await fresh.close();
      await registry.close();
    },
  };
}

function clientOf(registry: TestRegistry, options: RegistryClientOptions): RegistryClient {
  return new RegistryClient({
    keychain: staticKeychain({ [registry.host]: { kind: 'basic', ...CREDENTIALS } }),
    baseDelayMs: 1,
    headersTimeoutMs: 2000,
    bodyTimeoutMs: 2000,
    ...options,
  });
}

describe('S1, row 22: credentials stay with their registry when the realm is elsewhere', () => {
  test('a realm on another host is asked anonymously', async () => {
    await using other = await startRegistry({ bearer: {}, address: '127.0.0.2' });
    await using it = await evil(['realm-elsewhere'], { elsewhere: other.url });
    await it.client.fetchManifest(it.reference);
    expect(other.requests[0]).toMatch(/^GET \/token\?/);
    expect(other.authorizations).toEqual([]);
  });

  test('a realm the user named for this registry gets them', async () => {
    await using other = await startRegistry({ bearer: CREDENTIALS, address: '127.0.0.2' });
    await using it = await evil(['realm-elsewhere'], { elsewhere: other.url });
    await using client = clientOf(it.registry, {
      hosts: { [it.registry.host]: { url: it.registry.url, tokenServers: [other.url] } },
    });
    await client.fetchManifest(it.reference);
    expect(other.authorizations).toEqual([BASIC]);
  });

  test.each(['realm-file', 'realm-with-credentials'] as const)('%s is refused', async (fault) => {
    await using it = await evil([fault]);
    await expect(it.client.fetchManifest(it.reference)).rejects.toMatchObject({ code: 'EGRESS_REFUSED' });
    expect(it.registry.authorizations).toEqual([]);
  });

  test('a realm inside the network of the caller is refused', async () => {
    await using other = await startRegistry({ bearer: {}, address: '127.0.0.2' });
    await using it = await evil(['realm-elsewhere'], { elsewhere: other.url }, ONE_PUBLIC_LOOPBACK);
    await expect(it.client.fetchManifest(it.reference)).rejects.toMatchObject({ code: 'EGRESS_REFUSED' });
    expect(other.requests).toEqual([]);
  });
});

describe('S3, row 22: Authorization is not carried over a redirect', () => {
  test('content elsewhere is fetched without it', async () => {
    await using other = await startRegistry({
      address: '127.0.0.2',
      // As S3 does when it sees two ways to authenticate.
      intercept: (request, response) => {
        response.writeHead(request.headers.authorization === undefined ? 200 : 400);
        response.end(CONTENT);
        return true;
      },
    });
    await using redirecting = await evil(['redirect-content'], { basic: CREDENTIALS, elsewhere: other.url });
    expect(await redirecting.readContent()).toEqual(CONTENT);
    expect(other.authorizations).toEqual([]);
  });

  test('it is not shown again when the redirect comes back', async () => {
    await using other = await startRegistry({ faults: ['send-back'], address: '127.0.0.2' });
    await using it = await evil(['redirect-there-and-back'], { elsewhere: other.url, basic: CREDENTIALS });
    const before = it.registry.authorizations.length;
    await expect(it.readContent()).rejects.toMatchObject({ code: 'AUTH_REQUIRED' });
    const back = it.registry.requests.filter((line) => line.includes('back=1')).length;
    expect(back).toBeGreaterThan(0);
    expect(it.registry.requests.length - before).toBeGreaterThan(it.registry.authorizations.length - before);
  });

  test('redirects without end, to files and into the network are refused', async () => {
    for (const [fault, code] of [
      ['redirect-loop', 'REDIRECT_REFUSED'],
      ['redirect-file', 'REDIRECT_REFUSED'],
      ['redirect-content', 'EGRESS_REFUSED'],
    ] as const) {
      await using it = await evil([fault], {}, ONE_PUBLIC_LOOPBACK);
      await expect(it.client.fetchManifest(it.reference)).rejects.toMatchObject({ code });
      expect(it.registry.requests.length).toBeLessThan(30);
    }
  });
});

test('S4: a token server may not redirect', async () => {
  await using other = await startRegistry({ bearer: {}, address: '127.0.0.2' });
  await using it = await evil([], { elsewhere: other.url, bearer: CREDENTIALS });
  it.registry.misbehave('redirect-token');
  await expect(it.client.fetchManifest(it.reference)).rejects.toMatchObject({ code: 'REDIRECT_REFUSED' });
  expect(other.requests).toEqual([]);
});

test('S2, row 22: redirects and uploads into the network of the caller are refused, nobody is asked', async () => {
  await using it = await evil(['redirect-inside', 'upload-inside'], {}, ONE_PUBLIC_LOOPBACK);
  await expect(it.client.fetchManifest(it.reference)).rejects.toMatchObject({ code: 'EGRESS_REFUSED' });
  const other = { ...BLOB, digest: digestOf('other'), size: 5 };
  const pushing = it.client.pushBlob(it.reference, blobOf(Buffer.from('other'), other));
  await expect(pushing).rejects.toMatchObject({ code: 'EGRESS_REFUSED' });
});

test('S3: a redirect from https to http is refused', async () => {
  const { ca, server } = await makeCertificates();
  await using registry = await startRegistry({ tls: server, faults: ['redirect-plain'] });
  await using client = clientOf(registry, { hosts: { [registry.host]: { url: registry.url, ca } } });
  const reading = readBlob(client, parseReference(`${registry.host}/app`), BLOB);
  await expect(reading).rejects.toMatchObject({
    code: 'REDIRECT_REFUSED',
    message: expect.stringContaining('from https to http'),
  });
});

describe('S5: pages', () => {
  test('of tags without end are refused', async () => {
    await using it = await evil(['endless-tags']);
    await expect(collect(it.client.tags(it.reference))).rejects.toMatchObject({ code: 'LIMIT_EXCEEDED' });
    expect(it.registry.requests.length).toBeLessThan(200);
  });

  test('on another host are refused', async () => {
    await using it = await evil(['link-elsewhere']);
    await expect(collect(it.client.tags(it.reference))).rejects.toMatchObject({ code: 'REDIRECT_REFUSED' });
  });

  test('in a circle end', async () => {
    await using it = await evil(['link-circle']);
    expect(await collect(it.client.tags(it.reference))).toEqual(['1']);
  });

  test('of referrers without end are refused', async () => {
    await using it = await evil(['endless-referrers']);
    await expect(collect(it.client.referrers(it.reference, it.image.manifest.digest))).rejects.toMatchObject({
      code: 'LIMIT_EXCEEDED',
    });
  });
});

describe('S6, row 16: wrong bytes', () => {
  test('of a blob are not handed over whole', async () => {
    await using it = await evil(['other-bytes']);
    let received = 0;
    const reading = (async () => {
      for await (const chunk of it.client.openBlob(it.reference, BLOB)) received += chunk.byteLength;
    })();
    await expect(reading).rejects.toMatchObject({ code: 'DIGEST_MISMATCH' });
    expect(received).toBeLessThan(BLOB.size);
  });

  test('of a manifest asked for by digest are refused', async () => {
    await using it = await evil(['other-bytes']);
    const { digest } = it.image.manifest;
    await expect(it.client.fetchManifest({ ...it.reference, digest })).rejects.toMatchObject({
      code: 'DIGEST_MISMATCH',
    });
  });

  test('more bytes than the descriptor says are refused', async () => {
    await using it = await evil(['wrong-size']);
    await expect(it.readContent()).rejects.toMatchObject({ code: 'SIZE_MISMATCH' });
  });

  test('a lying Docker-Content-Digest changes nothing that is read', async () => {
    await using it = await evil(['lying-digest']);
    const { digest } = it.image.manifest;
    expect((await it.client.fetchManifest(it.reference)).descriptor.digest).toBe(digest);
    await expect(it.client.resolve({ ...it.reference, digest })).rejects.toMatchObject({
      code: 'DIGEST_MISMATCH',
    });
  });

  test('a missing one is computed', async () => {
    await using it = await evil(['no-digest']);
    expect(await it.client.resolve(it.reference)).toEqual(it.image.manifest);
  });
});

describe('S7, row 23: truncation', () => {
  test('with progress is resumed, each byte fetched about once', async () => {
    await using it = await evil(['cut-blobs']);
    expect(await it.readContent()).toEqual(CONTENT);
    expect(it.registry.requests.filter((line) => line.includes('/blobs/sha256')).length).toBeGreaterThan(3);
  });

  test('without progress ends', async () => {
    await using it = await evil(['cut-blobs-always']);
    await expect(it.readContent()).rejects.toMatchObject({ code: 'UNREACHABLE' });
  });

  test('by closing, without a length, is noticed', async () => {
    await using it = await evil(['close-delimited']);
    await expect(it.readContent()).rejects.toMatchObject({ code: 'SIZE_MISMATCH' });
  });

  test('of a manifest is tried again', async () => {
    await using it = await evil(['cut-manifest-once']);
    expect((await it.client.fetchManifest(it.reference)).descriptor).toEqual(it.image.manifest);
  });

  test('is resumed by a server that ignores Range', async () => {
    let asked = 0;
    await using other = await startRegistry({
      intercept: (_request, response) => {
        asked += 1;
        response.writeHead(200, { 'content-length': CONTENT.byteLength });
        if (asked > 1) response.end(CONTENT);
        else response.write(CONTENT.subarray(0, 100_000), () => response.destroy());
        return true;
      },
    });
    await using client = clientOf(other, {});
    expect(await readBlob(client, parseReference(`${other.host}/app`), BLOB)).toEqual(CONTENT);
    expect(asked).toBe(2);
  });

  test('answered with another range is refused', async () => {
    await using it = await evil(['range-wrong', 'cut-blobs']);
    await expect(it.readContent()).rejects.toMatchObject({ code: 'PROTOCOL_ERROR' });
  });
});

describe('S8: content encodings', () => {
  test('gzip nobody asked for is undone before hashing', async () => {
    await using it = await evil(['gzip-encoding']);
    expect(await it.readContent()).toEqual(CONTENT);
    expect((await it.client.fetchManifest(it.reference)).descriptor).toEqual(it.image.manifest);
  });

  test('a bomb is bounded by what was asked for', async () => {
    await using it = await evil(['gzip-bomb']);
    await expect(it.readContent()).rejects.toMatchObject({ code: 'SIZE_MISMATCH' });
    await expect(it.client.fetchManifest(it.reference)).rejects.toMatchObject({ code: 'LIMIT_EXCEEDED' });
  });

  test('another encoding is refused', async () => {
    await using it = await evil(['unknown-encoding']);
    await expect(it.readContent()).rejects.toMatchObject({ code: 'PROTOCOL_ERROR' });
  });
});

describe('S9, row 17: a manifest that two readers read differently', () => {
  test.each(['image-and-index', 'member-twice', 'other-content-type'] as const)(
    '%s is refused',
    async (fault) => {
      await using it = await evil([fault]);
      for (const reading of [
        it.client.fetchManifest(it.reference),
        resolveImage(it.reference, { source: it.client }),
      ])
        await expect(reading).rejects.toMatchObject({ code: 'AMBIGUOUS_MANIFEST' });
    },
  );
});

describe('S10, row 18: indexes', () => {
  test.each([
    ['many-children', 'LIMIT_EXCEEDED'],
    ['nested-indexes', 'LIMIT_EXCEEDED'],
    ['index-of-itself', 'DIGEST_MISMATCH'],
  ] as const)('%s end as %s', async (fault, code) => {
    await using it = await evil([fault]);
    await expect(resolveImage(it.reference, { source: it.client })).rejects.toMatchObject({ code });
    expect(it.registry.requests.length).toBeLessThan(40);
  });
});

describe('S10: too much', () => {
  test.each([
    ['endless-manifest', 'LIMIT_EXCEEDED'],
    ['endless-error', 'NOT_FOUND'],
    ['huge-headers', 'PROTOCOL_ERROR'],
  ] as const)('%s ends as %s', async (fault, code) => {
    await using it = await evil([fault]);
    await expect(it.client.fetchManifest(it.reference)).rejects.toMatchObject({ code });
  });

  test('an endless token ends', async () => {
    await using it = await evil([], { bearer: CREDENTIALS });
    it.registry.misbehave('endless-token');
    await expect(it.client.fetchManifest(it.reference)).rejects.toMatchObject({ code: 'LIMIT_EXCEEDED' });
  });
});

describe('S15, row 14: a tag that moves', () => {
  test('a resolved image is read by digest, whatever the tag says later', async () => {
    await using it = await evil([]);
    const before = await resolveImage(it.reference, { source: it.client });
    await pushTestImage(it.client, it.reference, { layers: [[{ path: 'a', content: 'moved' }]] });
    const pinned = { ...it.reference, digest: before.manifest.digest };
    expect((await it.client.fetchManifest(pinned)).descriptor).toEqual(before.manifest);
    expect((await it.client.resolve(it.reference)).digest).not.toBe(before.manifest.digest);
  });

  test('between two questions is no danger to who asks by digest, and a receipt tells', async () => {
    await using it = await evil(['moving-tag']);
    const first = await it.client.resolveWithReceipt(it.reference);
    const second = await it.client.resolveWithReceipt(it.reference);
    expect([first.digest === it.image.manifest.digest, first.digest === second.digest]).toEqual([
      true,
      false,
    ]);
    const pinned = await it.client.fetchManifest({ ...it.reference, digest: first.digest });
    expect(pinned.descriptor).toEqual(it.image.manifest);
  });
});

describe('Row 15: a registry with two faces', () => {
  test('shows each client what it is, under its own digest', async () => {
    await using it = await evil(['two-faced']);
    await using anybody = new RegistryClient();
    const shown = async (client: RegistryClient) => {
      const { bytes, descriptor } = await client.fetchManifest(it.reference);
      expect(digestOf(bytes)).toBe(descriptor.digest);
      return descriptor.digest;
    };
    // It asks for nothing, so nobody signs in; a header of one's own does it.
    await using insider = clientOf(it.registry, {
      hosts: { [it.registry.host]: { url: it.registry.url, headers: { authorization: 'Bearer insider' } } },
    });
    expect(await shown(anybody)).toBe(it.image.manifest.digest);
    const other = await shown(insider);
    expect(other).not.toBe(it.image.manifest.digest);
    // One digest is one content, whoever asks.
    const pinned = { ...it.reference, digest: other };
    expect((await anybody.fetchManifest(pinned)).bytes).toEqual((await insider.fetchManifest(pinned)).bytes);
  });
});

test('S16, row 20: the urls of a foreign layer are never asked', async () => {
  await using other = await startRegistry({ address: '127.0.0.2' });
  await using it = await evil([]);
  const foreign = { ...BLOB, digest: digestOf('foreign'), size: 7, urls: [`${other.url}/layer`] };
  await expect(readBlob(it.client, it.reference, foreign)).rejects.toMatchObject({ code: 'NOT_FOUND' });
  expect(other.requests).toEqual([]);
});

describe('S17: secrets in errors', () => {
  test.each(['unauthorized-loop', 'unavailable', 'rate-limit', 'redirect-content', 'other-bytes'] as const)(
    '%s names no secret',
    async (fault) => {
      await using other = await startRegistry({ address: '127.0.0.2' });
      await using it = await evil([fault], { elsewhere: other.url, basic: CREDENTIALS });
      const error: unknown = await it.readContent().catch((reason: unknown) => reason);
      const everything = [
        JSON.stringify(error),
        String(error),
        String((error as Error).cause),
        (error as Error).stack,
      ].join();
      expect(error).toBeInstanceOf(Error);
      for (const secret of [CREDENTIALS.password, BASIC.slice(6), 'X-Signature', 'worthless']) {
        expect(everything).not.toContain(secret);
      }
    },
  );
});

test('S20: a challenge cannot widen a token to another repository', async () => {
  await using other = await startRegistry({ bearer: {}, address: '127.0.0.2' });
  await using it = await evil(['realm-elsewhere'], { elsewhere: other.url });
  await it.client.fetchManifest(it.reference);
  const asked = new URL(other.requests[0]?.slice(4) ?? '', other.url).searchParams.getAll('scope');
  expect(asked).toEqual(['repository:app:pull']);
});

test('S20: nor can one in its own name', async () => {
  await using it = await evil(['scope-widened']);
  await it.client.fetchManifest(it.reference);
  const asked = it.registry.requests.filter((line) => line.startsWith('GET /token'));
  const scopes = asked.map((line) => new URL(line.slice(4), it.registry.url).searchParams.getAll('scope'));
  expect(scopes).toEqual([['repository:app:pull']]);
});

test('a registry that does not say what it wants is asked at its front door', async () => {
  await using it = await evil(['challenge-left-out'], { basic: CREDENTIALS });
  expect((await it.client.fetchManifest(it.reference)).descriptor).toEqual(it.image.manifest);
});

describe('S21, row 23: stalls', () => {
  test.each(['stall-headers', 'stall-body'] as const)('%s ends', async (fault) => {
    await using it = await evil([fault], {}, { headersTimeoutMs: 50, bodyTimeoutMs: 50, attempts: 1 });
    await expect(it.readContent()).rejects.toMatchObject({ code: 'TIMEOUT' });
  });

  test.each(['stall-headers', 'stall-body', 'unavailable'] as const)(
    'an abort during %s rejects with its reason',
    async (fault) => {
      await using it = await evil([fault], {}, { baseDelayMs: 60_000, maxDelayMs: 60_000 });
      const reason = new Error('enough');
      const controller = new AbortController();
      const reading = it.readContent(controller.signal);
      setTimeout(() => controller.abort(reason), 100);
      await expect(reading).rejects.toBe(reason);
    },
  );
});

describe('S22: writers of the fallback tag', () => {
  test('who come at the same time all remain listed', async () => {
    await using it = await evil([], { referrers: false });
    const writers = [0, 1, 2].map(() => clientOf(it.registry, {}));
    const pushed = await Promise.all(
      writers.map((writer, index) => pushReferrer(writer, it, `note ${index}`)),
    );
    const listed = await collect(it.client.referrers(it.reference, it.image.manifest.digest));
    expect(listed.map(({ digest }) => digest).sort()).toEqual(pushed.sort());
    const [first = it.image.manifest.digest] = pushed;
    await it.client.deleteManifest({ ...it.reference, digest: first });
    const left = await collect(it.client.referrers(it.reference, it.image.manifest.digest));
    expect(left.map(({ digest }) => digest).sort()).toEqual(pushed.filter((digest) => digest !== first));
    await Promise.all(writers.map((writer) => writer.close()));
  });
});

describe('S22: a registry that loses the list of referrers', () => {
  test('once is told again', async () => {
    await using it = await evil(['lose-referrer-once'], { referrers: false });
    const digest = await pushReferrer(it.client, it, 'note');
    const listed = await collect(it.client.referrers(it.reference, it.image.manifest.digest));
    expect(listed.map((referrer) => referrer.digest)).toEqual([digest]);
  });

  test('always ends in an error: nothing is called listed that is not', async () => {
    await using it = await evil(['lose-referrers'], { referrers: false });
    await expect(pushReferrer(it.client, it, 'note')).rejects.toMatchObject({ code: 'UPLOAD_FAILED' });
    expect(it.registry.requests.length).toBeLessThan(60);
  });
});

async function pushReferrer(
  client: RegistryClient,
  { reference, image }: Pick<Awaited<ReturnType<typeof evil>>, 'reference' | 'image'>,
  text: string,
) {
  const empty = Buffer.from('{}');
  const config = { mediaType: 'application/vnd.oci.empty.v1+json', digest: digestOf(empty), size: 2 };
  await client.pushBlob(reference, blobOf(empty, config));
  const mediaType = 'application/vnd.oci.image.manifest.v1+json';
  const document = {
    ...{ schemaVersion: 2, mediaType, artifactType: 'text/note', config, layers: [config] },
    ...{ subject: image.manifest, annotations: { text } },
  };
  const bytes = Buffer.from(JSON.stringify(document));
  const { registry, repository } = reference;
  const target = { registry, repository, digest: digestOf(bytes) };
  return (await client.pushManifest(target, { bytes, mediaType })).digest;
}

describe('Attack rows', () => {
  test.each([
    ['rate-limit-once', undefined],
    ['rate-limit-date', undefined],
    ['unavailable-twice', undefined],
    ['rate-limit', 'RATE_LIMITED'],
    ['unavailable', 'UNREACHABLE'],
    ['unauthorized-loop', 'AUTH_REQUIRED'],
  ] as const)('row 23: %s', async (fault, code) => {
    await using it = await evil([fault]);
    const reading = it.client.fetchManifest(it.reference);
    if (code === undefined) await expect(reading).resolves.toMatchObject({ kind: 'image' });
    else await expect(reading).rejects.toMatchObject({ code });
    expect(it.registry.requests.length).toBeLessThan(40);
  });

  test('row 23: a rate limit says when to come back', async () => {
    await using it = await evil(['rate-limit']);
    await expect(it.client.fetchManifest(it.reference)).rejects.toMatchObject({
      details: { retryAfterMs: 3_600_000 },
    });
  });

  test('row 24: content that is gone is NOT_FOUND, at once', async () => {
    await using it = await evil(['gone']);
    const pinned = { ...it.reference, digest: it.image.manifest.digest };
    for (const asking of [it.client.fetchManifest(pinned), it.client.resolve(pinned), it.readContent()])
      await expect(asking).rejects.toMatchObject({ code: 'NOT_FOUND' });
    expect(it.registry.requests.length).toBeLessThan(20);
  });

  test('row 25: 20,000 referrers on one page are refused', async () => {
    await using it = await evil(['junk-referrers']);
    const listing = collect(it.client.referrers(it.reference, it.image.manifest.digest));
    await expect(listing).rejects.toMatchObject({ code: 'LIMIT_EXCEEDED' });
  });

  test('row 24: what is gone is NOT_FOUND', async () => {
    await using it = await evil([]);
    const gone = digestOf('gone');
    for (const reference of [
      { ...it.reference, digest: gone },
      { ...it.reference, repository: 'gone' },
    ]) {
      await expect(it.client.fetchManifest(reference)).rejects.toMatchObject({ code: 'NOT_FOUND' });
    }
  });

  test('row 25: a filter that was not applied is applied here', async () => {
    await using it = await evil(['filter-claimed']);
    const digest = await pushReferrer(it.client, it, 'note');
    const subject = it.image.manifest.digest;
    const listed = (artifactType: string) =>
      collect(it.client.referrers(it.reference, subject, { artifactType }));
    expect((await listed('text/note')).map((descriptor) => descriptor.digest)).toEqual([digest]);
    expect(await listed('text/other')).toEqual([]);
  });
});

test('row 25: more referrers than anybody can want are refused', async () => {
  const junk = (page: number) =>
    Array.from({ length: 1000 }, (_, index) => ({
      mediaType: 'application/vnd.oci.image.manifest.v1+json',
      digest: digestOf(`${page} ${index}`),
      size: 1,
    }));
  let page = 0;
  await using registry = await startRegistry({
    intercept: (_request, response) => {
      page += 1;
      const link = `</v2/app/referrers/x?page=${page}>; rel="next"`;
      response.writeHead(200, { 'content-type': 'application/vnd.oci.image.index.v1+json', link });
      response.end(JSON.stringify({ schemaVersion: 2, manifests: junk(page) }));
      return true;
    },
  });
  await using client = clientOf(registry, {});
  const reading = collect(client.referrers(parseReference(`${registry.host}/app`), digestOf('subject')));
  await expect(reading).rejects.toMatchObject({ code: 'LIMIT_EXCEEDED' });
  expect(page).toBe(11);
});

// Small in every run; `IMAGEVET_CUT_MEBIBYTES=1024` reads 1 GiB, cut about twenty times, in bounded memory.
const CUT_MEBIBYTES = Number(process.env.IMAGEVET_CUT_MEBIBYTES ?? 24);

test('A blob cut again and again is fetched once: each byte, plus one buffer a cut', {
  timeout: 300_000,
}, async () => {
  const size = CUT_MEBIBYTES * 2 ** 20;
  // A prime number of cuts and a prime length of the pattern: no part of the blob is at home elsewhere.
  const cutAfter = Math.ceil(size / (CUT_MEBIBYTES >= 1024 ? 20.48 : 11));
  const pattern = randomBytes(1_000_003);
  const partAt = (start: number, end: number) => {
    const at = start % pattern.byteLength;
    return pattern.subarray(at, Math.min(at + end - start, pattern.byteLength));
  };
  const whole = new Digester();
  while (whole.size < size) whole.update(partAt(whole.size, size));
  const descriptor = { ...BLOB, digest: whole.digest(), size };
  let served = 0;
  let requests = 0;
  await using registry = await startRegistry({
    intercept: async (request, response) => {
      requests += 1;
      const start = Number(/bytes=(\d+)-/.exec(request.headers.range ?? '')?.[1] ?? 0);
      const end = Math.min(start + cutAfter, size);
      response.writeHead(start === 0 ? 200 : 206, {
        'content-length': size - start,
        'content-range': `bytes ${start}-${size - 1}/${size}`,
      });
      for (let at = start; at < end && !response.destroyed; ) {
        const part = partAt(at, end);
        at += part.byteLength;
        served += part.byteLength;
        await new Promise((resolve) => response.write(part, resolve));
      }
      if (end < size) response.destroy();
      else response.end();
      return true;
    },
  });
  await using client = clientOf(registry, {});
  const received = new Digester();
  for await (const chunk of client.openBlob(parseReference(`${registry.host}/app`), descriptor))
    received.update(chunk);
  expect([received.size, received.digest()]).toEqual([size, descriptor.digest]);
  expect(requests).toBeGreaterThanOrEqual(11);
  expect(served).toBeLessThanOrEqual(size + (requests - 1) * 256 * 1024);
  if (CUT_MEBIBYTES >= 1024) {
    const rss = Math.round(process.resourceUsage().maxRSS / 1024);
    process.stderr.write(
      `${size} bytes in ${requests} requests: ${served} sent, ${served - size} of them twice; ${rss} MiB at most\n`,
    );
  }
});

describe('Uploads', () => {
  test.each([
    ...([[[]], [['cut-chunk-once']], [['forget-upload-once']], [['chunk-unavailable-once']]] as const),
    ...([
      [['chunk-refused-once']],
      [['moving-upload']],
      [['range-stuck']],
      [['rate-limit-upload-once']],
    ] as const),
    ...([[['moving-upload', 'cut-chunk-once', 'chunk-unavailable-once']]] as const),
  ])('survive %j in chunks', async (faults) => {
    await using registry = await startRegistry({ faults });
    await using client = clientOf(registry, { chunkBytes: 100_000 });
    const reference = parseReference(`${registry.host}/chunked`);
    expect(await client.pushBlob(reference, blobOf(CONTENT, BLOB))).toBe('uploaded');
    expect(await readBlob(client, reference, BLOB)).toEqual(CONTENT);
    expect(registry.requests.filter((line) => line.startsWith('PATCH')).length).toBeGreaterThan(5);
  });

  test('are sent where a mount is refused', async () => {
    await using it = await evil(['mount-refused']);
    const other = { ...it.reference, repository: 'other' };
    expect(await it.client.pushBlob(other, blobOf(CONTENT, BLOB), { mountFrom: it.reference })).toBe(
      'uploaded',
    );
  });

  test('go elsewhere without credentials, and not into the network', async () => {
    await using other = await startRegistry({
      address: '127.0.0.2',
      intercept: (_request, response) => {
        response.writeHead(201).end();
        return true;
      },
    });
    const options = { faults: ['upload-elsewhere'], elsewhere: other.url, basic: CREDENTIALS } as const;
    await using registry = await startRegistry(options);
    const reference = parseReference(`${registry.host}/app`);
    await using client = clientOf(registry, {});
    expect(await client.pushBlob(reference, blobOf(CONTENT, BLOB))).toBe('uploaded');
    expect(other.authorizations).toEqual([]);
    await using guarded = clientOf(registry, ONE_PUBLIC_LOOPBACK);
    const asked = other.requests.length;
    await expect(guarded.pushBlob(reference, blobOf(CONTENT, BLOB))).rejects.toMatchObject({
      code: 'EGRESS_REFUSED',
    });
    expect(other.requests.length).toBe(asked);
  });
});

test('warnings are told once, without control characters', async () => {
  const warnings: unknown[] = [];
  await using it = await evil(['warn'], {}, { onWarning: (warning) => warnings.push(warning) });
  await it.client.fetchManifest(it.reference);
  await it.client.resolve(it.reference);
  expect(warnings).toEqual([{ registry: it.registry.host, text: 'this registry31m is going away' }]);
});
