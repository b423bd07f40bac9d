import type { Arguments } from '../arguments.ts';
import { EXIT, type Io } from '../io.ts';
import { trace } from './lineage.ts';

/** `imagevet dockerfile <image>`: the file on stdout, where it came from on stderr. */
export async function dockerfile(args: Arguments, io: Io): Promise<number> {
  const lineage = await trace(args, io);
  const node = lineage.nodes.find(({ id }) => id === lineage.root);
  const record = node?.dockerfile;
  if (record?.text === undefined) {
    io.stderr(`imagevet: no Dockerfile of ${args.image} could be read: ${record?.status ?? 'not-named'}\n`);
    for (const gap of lineage.gaps.filter((gap) => gap.node === lineage.root)) {
      io.stderr(`  ${gap.code}: ${gap.message}\n`);
    }
    return EXIT.error;
  }
  const { location } = record;
  if (location !== undefined) {
    io.stderr(
      `${location.repository} ${location.commit} ${location.path} (${record.kind}, ${record.reachability})\n`,
    );
  }
  io.stdout(record.text);
  return EXIT.allow;
}
