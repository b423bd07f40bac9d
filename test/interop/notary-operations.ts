// What is done to collections, and what every reader must then see; each adds its rows to a table.
import { setTimeout as sleep } from 'node:timers/promises';
import {
  type BaseRole,
  issueRootCertificate,
  type SignableTarget,
  type SnapshotKeyHolder,
  TrustError,
} from '../../packages/trust/src/index.ts';
import { type Matrix, PeerDefect } from './matrix.ts';
import { freshHome, keysOf, type Place, pushedAs, pushImages, type Tag } from './notary-place.ts';
import { draftOf, imagevet, type Refusal, type Tool, tools } from './notary-tools.ts';
import { expectSame } from './program.ts';

/** Something done by one program to a collection of its own. */
export type Operation = (writer: Tool, place: Place, matrix: Matrix) => Promise<void>;

const init: Operation = async (writer, place, matrix) => {
  const collection = await collectionFor(writer, place, 'init', ['unsigned']);
  await everyReader(matrix, `${writer.name} sets up`, writer.init(place, collection), async (reader) => {
    await expectRead(reader, place, { collection, tag: 'unsigned' }, false);
  });
};

const sign: Operation = async (writer, place, matrix) => {
  const collection = await collectionFor(writer, place, 'sign', ['signed', 'revoked']);
  const [signed, revoked] = [
    { collection, tag: 'signed' },
    { collection, tag: 'revoked' },
  ];
  const signing = writer.sign(place, collection, ['signed', 'revoked']);
  await everyReader(matrix, `${writer.name} signs`, signing, async (reader) => {
    await expectRead(reader, place, signed, true);
    await expectRead(reader, place, revoked, true);
  });
  const revoking = signing.then(() => writer.revoke(place, revoked));
  await everyReader(matrix, `${writer.name} revokes`, revoking, async (reader) => {
    await expectRead(reader, place, revoked, false);
    await expectRead(reader, place, signed, true);
  });
};

const delegate: Operation = async (writer, place, matrix) => {
  const collection = await collectionFor(writer, place, 'delegate', ['direct', 'delegated']);
  const signers = [`ann-${writer.name}`, `bob-${writer.name}`] as const;
  const delegated = { collection, tag: 'delegated' };
  const adding = (async () => {
    await writer.sign(place, collection, ['direct']);
    await writer.addSigners(place, collection, signers);
    await writer.signAsSigners(place, delegated);
  })();
  await everyReader(matrix, `${writer.name} adds signers`, adding, async (reader) => {
    expectSame('signers', await reader.signers(place, collection), signers);
    await expectRead(reader, place, { collection, tag: 'direct' }, true);
    await expectRead(reader, place, delegated, true);
  });
  const [kept, removed] = signers;
  const removing = adding.then(async () => {
    await writer.removeSigner(place, collection, removed);
    const left = await imagevet.signers(place, collection);
    if (!left.includes(removed)) return false;
    await imagevet.removeSigner(place, collection, removed);
    return true;
  });
  await everyReader(matrix, `${writer.name} removes a signer`, removing, async (reader, wasLeft) => {
    expectSame('signers', await reader.signers(place, collection), [kept]);
    await expectRead(reader, place, delegated, true);
    if (wasLeft)
      throw new PeerDefect(`${writer.name} said it removed the signer and did not; imagevet then did`);
  });
};

/** Every rotation a collection can see, in an order that ends with the snapshot key in the writers' hands. */
const rotations: readonly (readonly [role: BaseRole, holder: SnapshotKeyHolder])[] = [
  ['targets', 'client'],
  ['timestamp', 'server'],
  ['snapshot', 'server'],
  ['root', 'client'],
  ['snapshot', 'client'],
];

const rotate: Operation = async (writer, place, matrix) => {
  if (writer.rotate === undefined) return;
  const collection = await collectionFor(writer, place, 'rotate', [
    'signed',
    ...tools.map(({ name }) => name),
  ]);
  const signed = { collection, tag: 'signed' };
  const homes = new Map(tools.map((reader) => [reader, freshHome(place)]));
  let last = writer.sign(place, collection, ['signed']);
  await last;
  for (const reader of tools) await reader.read(place, signed, homes.get(reader)).catch(() => {});
  for (const [role, holder] of rotations) {
    const to = role === 'snapshot' ? ` to the ${holder}` : '';
    const rotating = last.then(() => writer.rotate?.(place, collection, role, holder));
    last = rotating;
    await everyReader(matrix, `${writer.name} rotates ${role}${to}`, rotating, async (reader) => {
      await expectRead(reader, place, signed, true);
      await expectRead(reader, place, signed, true, homes.get(reader));
    });
  }
  const row = `after ${writer.name}'s rotations, signs`;
  await everyReader(matrix, row, last, async (signer) => {
    await signer.sign(place, collection, [signer.name]);
    for (const reader of tools) await expectRead(reader, place, { collection, tag: signer.name }, true);
  });
};

const remove: Operation = async (writer, place, matrix) => {
  if (writer.delete === undefined) return;
  const collection = await collectionFor(writer, place, 'delete', ['signed']);
  const signed = { collection, tag: 'signed' };
  const homes = new Map(tools.map((reader) => [reader, freshHome(place)]));
  const deleting = (async () => {
    await writer.sign(place, collection, ['signed']);
    for (const reader of tools) await reader.read(place, signed, homes.get(reader));
    await writer.delete?.(place, collection);
  })();
  await everyReader(matrix, `${writer.name} deletes`, deleting, async (reader) => {
    await expectRefusal(reader, place, signed, ['gone']);
  });
};

/** Time from writing a file to its end, in milliseconds: longer than publishing it and reading it back takes. */
const SHORT_LIFE = 4_000;
const DAY = 86_400_000;

/** Now, to one whose files live `days`, so that they end shortly. */
const longAgo = (days: number) => () => new Date(Date.now() - days * DAY + SHORT_LIFE);

/** Publishes, by a tag, something that ends shortly: what no stock program can be told to write. */
const shortLived: Readonly<Record<string, (place: Place, subject: Tag) => Promise<unknown>>> = {
  targets: async (place, subject) =>
    draftOf(place, subject.collection, { now: longAgo(1095) })
      .setTarget(await targetOf(place, subject))
      .publish(),
  "publisher's snapshot": async (place, subject) =>
    draftOf(place, subject.collection, { now: longAgo(1095), snapshotKey: 'client' })
      .setTarget(await targetOf(place, subject))
      .publish(),
  root: async (place, subject) => {
    await imagevet.sign(place, subject.collection, [subject.tag]);
    await draftOf(place, subject.collection, { now: longAgo(3650) })
      .witness('root')
      .publish();
  },
  'root certificate': async (place, subject) => {
    await imagevet.sign(place, subject.collection, [subject.tag]);
    const keypair = await keysOf(place).generate({ role: 'root' });
    const key = await issueRootCertificate(keypair, subject.collection, { now: longAgo(3650) });
    await draftOf(place, subject.collection)
      .stage({ type: 'role-keys', role: 'root', keys: [key], threshold: 1 })
      .publish();
  },
};

const expire: Operation = async (writer, place, matrix) => {
  if (writer !== imagevet) return;
  for (const [part, publish] of Object.entries(shortLived)) {
    const name = part.replace(/\W+/g, '-');
    const collection = await collectionFor(writer, place, `expire-${name}`, ['signed', 'renewed']);
    const signed = { collection, tag: 'signed' };
    const expiring = publish(place, signed).then(() => sleep(SHORT_LIFE + 1_000));
    await everyReader(matrix, `expired ${part}`, expiring, async (reader) => {
      // notary-server wants to renew the snapshot, and fails for want of the key.
      await expectRefusal(reader, place, signed, ['expired', 'no answer']);
    });
  }
};

/** Releases that end shortly, above an older tag of `targets`: whoever skips them goes back to that. */
const expireReleases: Operation = async (writer, place, matrix) => {
  if (writer !== imagevet) return;
  const collection = await collectionFor(writer, place, 'expire-releases', ['signed', 'newer']);
  const signed = { collection, tag: 'signed' };
  const [older, newer] = await Promise.all([
    pushedAs(place, signed),
    pushedAs(place, { collection, tag: 'newer' }),
  ]);
  const expiring = (async () => {
    await imagevet.sign(place, collection, ['signed']);
    await imagevet.addSigners(place, collection, ['cleo']);
    await draftOf(place, collection, { now: longAgo(1095) })
      .setTarget({ tag: 'signed', digest: newer.digest, size: newer.size })
      .publish();
    await sleep(SHORT_LIFE + 1_000);
  })();
  await everyReader(matrix, 'expired releases', expiring, async (reader) => {
    const outcome = await reader.read(place, signed).catch((error: unknown) => error);
    if (outcome === older.digest && reader !== imagevet)
      throw new PeerDefect(`${reader.name} went back to the older digest of targets; imagevet refuses`);
    await expectRefusal(reader, place, signed, ['expired']);
  });
};

/** All of them, in the order of the tables. */
export const operations: readonly Operation[] = [
  init,
  sign,
  delegate,
  rotate,
  expire,
  expireReleases,
  remove,
];

async function collectionFor(
  writer: Tool,
  place: Place,
  operation: string,
  tags: readonly string[],
): Promise<string> {
  const collection = `${place.registry}/${operation}/by-${writer.name}`;
  await pushImages(place, collection, tags);
  return collection;
}

/** Checks with every reader what was written; when writing failed, every cell says so. */
async function everyReader<T>(
  matrix: Matrix,
  row: string,
  written: Promise<T>,
  check: (reader: Tool, written: T) => Promise<void>,
): Promise<void> {
  written.catch(() => {});
  for (const reader of tools) await matrix.check(row, reader.name, async () => check(reader, await written));
}

async function expectRead(
  reader: Tool,
  place: Place,
  subject: Tag,
  signed: boolean,
  home?: string,
): Promise<void> {
  const expected = signed ? (await pushedAs(place, subject)).digest : undefined;
  const actual = await reader.read(place, subject, home);
  expectSame(
    `${subject.tag}${home === undefined ? '' : ', to one who knew the collection'}`,
    actual,
    expected,
  );
}

async function expectRefusal(
  reader: Tool,
  place: Place,
  subject: Tag,
  refusals: readonly Refusal[],
): Promise<void> {
  const outcome = await reader.read(place, subject).then(
    (digest) => `accepted ${digest}`,
    (error: unknown) => (error instanceof TrustError ? `${error.code}: ${error.message}` : String(error)),
  );
  if (!refusals.some((refusal) => reader.refusals[refusal].test(outcome)))
    throw new Error(`expected a refusal as ${refusals.join(' or ')}, received ${outcome}`);
}

async function targetOf(place: Place, subject: Tag): Promise<SignableTarget> {
  const { digest, size } = await pushedAs(place, subject);
  return { tag: subject.tag, digest, size };
}
