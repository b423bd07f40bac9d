import { ImagevetError } from '@imagevet/registry';
import { parseArguments, UsageError, usage } from './arguments.ts';
import { archive } from './commands/archive.ts';
import { audit } from './commands/audit.ts';
import { dockerfile } from './commands/dockerfile.ts';
import { doctor } from './commands/doctor.ts';
import { lineage } from './commands/lineage.ts';
import { rebuild } from './commands/rebuild.ts';
import { sign } from './commands/sign.ts';
import { verify } from './commands/verify.ts';
import { vet } from './commands/vet.ts';
import { EXIT, type Io } from './io.ts';

const COMMANDS = { vet, lineage, dockerfile, audit, rebuild, sign, verify, doctor, archive } as const;

/** Runs the program and returns its exit code; never throws, never prints a stack trace. */
export async function main(parameters: readonly string[], io: Io): Promise<number> {
  try {
    const parsed = parseArguments(parameters, io.env);
    if (parsed === 'help') {
      io.stdout(usage());
      return EXIT.allow;
    }
    return await COMMANDS[parsed.command](parsed, io);
  } catch (error) {
    if (io.signal.aborted) {
      io.stderr(
        'interrupted; what was signed or named before that stays, and running it again finishes the rest\n',
      );
      return EXIT.interrupted;
    }
    if (error instanceof UsageError) {
      io.stderr(`imagevet: ${error.message}\n\n${usage()}`);
      return EXIT.usage;
    }
    if (ImagevetError.is(error)) {
      io.stderr(
        `imagevet: ${error.code}: ${error.message}\n${error.hint === undefined ? '' : `  ${error.hint}\n`}`,
      );
      return EXIT.error;
    }
    io.stderr(`imagevet: unexpected failure: ${error instanceof Error ? error.message : String(error)}\n`);
    return EXIT.error;
  }
}
