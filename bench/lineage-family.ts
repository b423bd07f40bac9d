// Families of images for the bench: registry, git host and Docker Hub in this process, which count what they are asked.
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseReference, RegistryClient, type ResolvedImage } from '../packages/registry/src/index.ts';
import {
  createRepository,
  pushTestImage,
  pushTestIndex,
  startGitHost,
  startHub,
  startRegistry,
} from '../packages/registry/src/testing/index.ts';

/** A running family. */
export interface Family {
  readonly directory: string;
  readonly registryUrl: string;
  readonly registryHost: string;
  readonly hubUrl: string;
  readonly gitUrl: string;
  /** Names of the images nothing is built on. */
  readonly leaves: readonly string[];
  cloneUrl(repository: string): string;
  /** Requests so far. What we ask Docker Hub's web API is not counted: the tools have nothing like it. */
  requests(): { readonly git: number; readonly registry: number };
  close(): Promise<void>;
}

/** What a family is made of. */
export interface FamilyPlan {
  /** Images on the way from a leaf to `FROM scratch`, the leaf included. */
  readonly depth: number;
  /** Images on the one below. @defaultValue 1 */
  readonly leaves?: number;
  /** Tags one library file has, of one repository at one commit. @defaultValue 1 */
  readonly tagsPerLibrary?: number;
  /** Whether tags name an index, as those of official images do. @defaultValue false */
  readonly index?: boolean;
}

/** An image and where its Dockerfile is. */
interface Member {
  /** `app-1:2` */
  readonly name: string;
  readonly directory: string;
}

/**
 * Starts a tower of images, `app-0` on `app-1` and so on down to scratch, each with a repository of its own; more leaves are
 * further tags of `app-0`, and of `leaf-1`, `leaf-2` once a library file has as many tags as it may.
 */
export async function startFamily(plan: FamilyPlan): Promise<Family> {
  const { depth, leaves = 1, tagsPerLibrary = 1, index = false } = plan;
  const directory = mkdtempSync(join(tmpdir(), 'imagevet-bench-'));
  const repositories: Record<string, string> = {};
  const library: Record<string, string> = {};
  const registry = await startRegistry();
  await using client = new RegistryClient({ hosts: { 'docker.io': { url: registry.url } } });

  const create = async (name: string, files: Record<string, string>) => {
    const path = join(directory, name.replace('/', '--'));
    mkdirSync(path);
    const { commits } = await createRepository(path, [{ files, message: 'Publish', date: '2018-01-03' }]);
    repositories[name] = path;
    return commits[0]!;
  };
  const publish = async (name: string, members: readonly Member[], from: string) => {
    const files = members.flatMap((member) => [
      [`${member.directory}/Dockerfile`, `FROM ${from}\nCOPY file /${fileOf(member)}\n`],
      [`${member.directory}/file`, member.name],
    ]);
    const commit = await create(`example/${name}`, Object.fromEntries(files));
    library[`library/${name}`] = [
      'Maintainers: A. Person <a@imagevet.example> (@a)',
      `GitRepo: https://github.com/example/${name}.git`,
      `GitCommit: ${commit}`,
      ...members.flatMap((member) => [
        '',
        `Tags: ${member.name.split(':')[1]}`,
        'Architectures: amd64, arm64v8',
        `Directory: ${member.directory}`,
      ]),
      '',
    ].join('\n');
  };
  const push = async (member: Member, base: ResolvedImage | undefined) => {
    const { name } = member;
    const file = fileOf(member);
    const reference = parseReference(name);
    const image = await pushTestImage(
      client,
      index ? { ...reference, tag: `${reference.tag}-amd64` } : reference,
      {
        ...(base === undefined ? {} : { base }),
        layers: [[{ path: file, content: name }]],
        history: [{ created: '2018-01-03T00:00:00Z', created_by: `COPY file /${file} # buildkit` }],
      },
    );
    if (index) await pushTestIndex(client, reference, [image]);
    return image;
  };

  let base: ResolvedImage | undefined;
  for (let level = depth - 1; level > 0; level -= 1) {
    const member = { name: `app-${level}:1`, directory: 'web' };
    await publish(`app-${level}`, [member], level === depth - 1 ? 'scratch' : `app-${level + 1}:1`);
    base = await push(member, base);
  }
  const made: string[] = [];
  for (let first = 0; first < leaves; first += tagsPerLibrary) {
    const name = first === 0 ? 'app-0' : `leaf-${first / tagsPerLibrary}`;
    const count = Math.min(tagsPerLibrary, leaves - first);
    const members = Array.from({ length: count }, (_item, at) => ({
      name: `${name}:${at + 1}`,
      directory: at === 0 ? 'web' : `web-${at + 1}`,
    }));
    await publish(name, members, depth === 1 ? 'scratch' : 'app-1:1');
    for (const member of members) await push(member, base);
    made.push(...members.map((member) => member.name));
  }
  await create('docker-library/official-images', library);
  await create('docker-library/docs', { 'README.md': 'none\n' });
  const git = await startGitHost({ repositories });
  const hub = await startHub({ repositories: {} });
  return {
    ...{ directory, registryUrl: registry.url, registryHost: registry.host, hubUrl: hub.url },
    ...{ gitUrl: git.url, cloneUrl: git.cloneUrl, leaves: made },
    requests: () => ({ git: git.requests.length, registry: registry.requests.length }),
    close: async () => {
      await Promise.all([registry.close(), git.close(), hub.close()]);
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

function fileOf({ name }: Member): string {
  return `file-${name.replace(/[^a-z0-9]+/g, '-')}`;
}
