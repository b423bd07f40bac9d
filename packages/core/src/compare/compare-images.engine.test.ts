import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { parseReference, RegistryClient, type ResolvedImage, resolveImage } from '@imagevet/registry';
import { pack } from 'tar-stream';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  available,
  dockerHost,
  type RunningService,
  startDockerRegistry,
} from '../../../../test/services.ts';
import { compareImages } from './compare-images.ts';

const base = 'local/debian:bookworm-slim';
const dockerfile = [
  `FROM ${base}`,
  'COPY app /srv/app',
  'RUN groupadd -r app && useradd -r -g app -d /srv app && echo secret:x | chpasswd -e 2>/dev/null; true',
  'RUN cp /lib/*/libz.so.1 /usr/local/lib/ && ldconfig && ln -s app/main.sh /srv/start',
  'RUN update-alternatives --install /usr/bin/run run /bin/true 1 && install -m 4755 /bin/true /usr/bin/raise',
  'RUN dpkg --purge --force-depends adduser',
  'RUN rm -rf /usr/share/man && mkdir -p /var/lib/app && chown app:app /var/lib/app',
  'ENTRYPOINT ["/srv/app/main.sh"]',
];

describe.skipIf(!available('docker-engine', 'docker', 'docker-registry'))(
  'compareImages() of real builds',
  () => {
    const directory = mkdtempSync(join(tmpdir(), 'imagevet-compare-'));
    const pushed: string[] = [];
    const client = new RegistryClient();
    let registry: RunningService;
    let original: ResolvedImage;

    beforeAll(async () => {
      registry = await startDockerRegistry();
      mkdirSync(join(directory, 'app'));
      writeFileSync(join(directory, 'app/main.sh'), '#!/bin/sh\nexec sleep 1\n', { mode: 0o755 });
      original = await built('original', dockerfile);
    }, 120_000);

    afterAll(async () => {
      if (pushed.length > 0) docker('rmi', '-f', ...pushed);
      await registry.close();
      rmSync(directory, { recursive: true, force: true });
    });

    test('row 40: compareImages() grades two builds of one Dockerfile as the same content', async () => {
      const comparison = await compare(await built('again', dockerfile));
      expect(comparison.differences.map(({ path, explanation }) => `${path}: ${explanation}`)).toEqual([
        '/var/cache/ldconfig/aux-cache: inode numbers and times in the cache of ldconfig',
        '/var/log/alternatives.log: times in the alternatives log',
        '/var/log/dpkg.log: times in the dpkg log',
      ]);
      expect(comparison.grade).toBe('same-content');
      expect(comparison.config).toEqual([]);
      expect(comparison.files.timestampsOnly).toBeGreaterThan(0);
    }, 120_000);

    test('row 40: compareImages() names every planted change', async () => {
      const planted = [
        ...dockerfile,
        'RUN printf x | dd of=/usr/bin/ldd bs=1 seek=100 conv=notrunc 2>/dev/null',
        'RUN chmod u+s /usr/bin/find && echo "toor::0:0::/:/bin/sh" >> /etc/passwd',
        'RUN rm /etc/issue && cp /bin/true /usr/bin/newsh && chown daemon /etc/motd',
        'ENTRYPOINT ["/usr/bin/newsh"]',
      ];
      const comparison = await compare(await built('planted', planted), planted);
      expect(comparison.grade).toBe('unexplained');
      const unexplained = comparison.differences.filter(({ explanation }) => explanation === undefined);
      expect(unexplained.map(({ path, change, aspects }) => [change, path, ...aspects].join(' '))).toEqual([
        'removed /etc/issue',
        'changed /etc/motd owner',
        'changed /etc/passwd content size',
        'changed /usr/bin/find mode',
        'changed /usr/bin/ldd content',
        'added /usr/bin/newsh',
      ]);
      const [ldd, suid, rest, entrypoint] = [1, 2, 3, 4].map((line) => dockerfile.length + line);
      expect(unexplained.map(({ path, origin }) => [path, origin?.side, origin?.instruction?.line])).toEqual([
        ['/etc/issue', 'rebuilt', rest],
        ['/etc/motd', 'rebuilt', rest],
        ['/etc/passwd', 'rebuilt', suid],
        ['/usr/bin/find', 'rebuilt', suid],
        ['/usr/bin/ldd', 'rebuilt', ldd],
        ['/usr/bin/newsh', 'rebuilt', rest],
      ]);
      expect(comparison.config[0]?.origin).toEqual({
        side: 'rebuilt',
        instruction: { line: entrypoint, keyword: 'ENTRYPOINT' },
      });
      expect(comparison.config.map(({ field, explanation }) => [field, explanation])).toEqual([
        ['Entrypoint', undefined],
      ]);
    }, 120_000);

    test('row 40: compareImages() names planted devices, links, capabilities and what took files away', async () => {
      // What setcap writes: version 2, effective, CAP_NET_RAW.
      const capability = Buffer.from('0100000200200000000000000000000000000000', 'hex').toString('latin1');
      const archive = pack();
      const pax = { 'SCHILY.xattr.security.capability': capability };
      archive.entry({ name: 'usr/bin/head', mode: 0o755, pax }, readFileSync('/bin/true'));
      archive.finalize();
      writeFileSync(join(directory, 'cap.tar'), await buffer(archive));
      const before = [
        ...dockerfile,
        'RUN cp /bin/true /usr/bin/one && cp /bin/false /usr/bin/two && mkdir /opt/dir && touch /opt/dir/a /opt/dir/b',
        'RUN touch -d @1 /opt/dir/b',
      ];
      const after = [
        ...before.slice(0, -1),
        'ADD cap.tar /',
        'RUN ln -f /usr/bin/one /usr/bin/two && mknod /opt/null c 1 3 && mkfifo /opt/pipe',
        'RUN rm -rf /opt/dir && mkdir /opt/dir && touch /opt/dir/a && chmod o+w /srv && ln -sf /tmp /etc/mtab2',
        'RUN touch /usr/bin/one',
      ];
      const one = await built('before', before);
      const comparison = await compare(await built('after', after), after, one);
      const unexplained = comparison.differences.filter(({ explanation }) => explanation === undefined);
      expect(unexplained.map(({ path, change, aspects }) => [change, path, ...aspects].join(' '))).toEqual([
        'added /etc/mtab2',
        'removed /opt/dir/b',
        'added /opt/null',
        'added /opt/pipe',
        'changed /srv mode',
        'changed /usr/bin/head content size xattr',
        'changed /usr/bin/two content',
      ]);
      const times = await built('times', [...before, 'RUN touch -d @7 /usr/bin/one /etc/passwd /opt/dir']);
      expect(await compare(times, before, one)).toMatchObject({ grade: 'same-content', config: [] });
    }, 120_000);

    test('compareImages() calls an image pushed under a second tag identical', async () => {
      docker('tag', `${registry.host}/compare:original`, `${registry.host}/compare:second`);
      expect((await compare(await push('second'))).grade).toBe('identical');
    }, 120_000);

    async function compare(
      rebuilt: ResolvedImage,
      lines: readonly string[] = dockerfile,
      one: ResolvedImage = original,
    ) {
      return compareImages(one, rebuilt, {
        ...{ originalSource: client, rebuiltSource: client },
        dockerfile: { text: lines.join('\n') },
      });
    }

    async function built(tag: string, lines: readonly string[]): Promise<ResolvedImage> {
      writeFileSync(join(directory, 'Dockerfile'), lines.join('\n'));
      docker(
        'build',
        '-q',
        '--no-cache',
        '--network',
        'host',
        '-t',
        `${registry.host}/compare:${tag}`,
        directory,
      );
      return push(tag);
    }

    async function push(tag: string): Promise<ResolvedImage> {
      const name = `${registry.host}/compare:${tag}`;
      pushed.push(name);
      docker('push', '-q', name);
      return resolveImage(parseReference(name), { source: client });
    }
  },
);

function docker(...args: readonly string[]): void {
  execFileSync('docker', args, {
    env: { ...process.env, DOCKER_HOST: dockerHost },
    stdio: ['ignore', 'ignore', 'pipe'],
  });
}
