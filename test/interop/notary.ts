// Who verifies what whom wrote: imagevet, notary and the docker CLI set up, sign, delegate, rotate, let expire and delete,
// and the same three read, against the real notary-server with keys of its own, the same with a real notary-signer, and our
// server.
import { startNotary } from '../../packages/trust/src/testing/index.ts';
import {
  findProgram,
  type NotaryService,
  startNotaryServer,
  startNotaryServerWithSigner,
} from '../services.ts';
import { Absent, Matrix, startOrAbsent } from './matrix.ts';
import { operations } from './notary-operations.ts';
import { inPlace } from './notary-place.ts';
import { tools } from './notary-tools.ts';

/** Runs the suite `notary`. */
export async function notary(): Promise<readonly Matrix[]> {
  const names = tools.map(({ name }) => name);
  const matrices: Matrix[] = [];
  for (const [name, start] of servers) {
    const matrix = new Matrix(`notary over ${name}`, names);
    matrices.push(matrix);
    const started = await startOrAbsent(start);
    if (started instanceof Absent) {
      for (const writer of names)
        for (const reader of names)
          await matrix.check(`${writer} signs`, reader, () => Promise.reject(started));
      continue;
    }
    try {
      await inPlace(started, async (place) => {
        for (const operation of operations)
          for (const writer of tools) await operation(writer, place, matrix);
      });
    } finally {
      await started.close();
    }
  }
  return matrices;
}

interface StartedServer extends Pick<NotaryService, 'url' | 'host' | 'ca'> {
  close(): Promise<void>;
}

const servers: readonly (readonly [name: string, start: () => Promise<StartedServer>])[] = [
  [
    'in-process notary',
    async () => {
      const { url, host, ca = '', close } = await startNotary({ tls: true });
      return { url, host, ca, close };
    },
  ],
  ['notary-server', async () => ifInstalled(['notary-server'], startNotaryServer)],
  ['notary-signer', async () => ifInstalled(['notary-server', 'notary-signer'], startNotaryServerWithSigner)],
];

async function ifInstalled<T>(programs: readonly string[], start: () => Promise<T>): Promise<T> {
  const missing = programs.find((program) => findProgram(program) === undefined);
  if (missing !== undefined) throw new Absent(`${missing} is not installed`);
  return start();
}
