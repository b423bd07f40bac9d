// The notary servers every test of the protocol runs against: ours in this process, and the real one.
import { available, startNotaryServer, startNotaryServerWithSigner } from '../../../test/services.ts';
import type { NotaryServer } from '../src/notary/client.ts';
import { startNotary } from '../src/testing/notary.ts';

/** A server a test may fill as it likes. */
export interface ServerUnderTest {
  readonly server: NotaryServer;
  close(): Promise<void>;
}

/** Rows for `describe.each`. */
export const notaryServers: readonly { name: string; start(): Promise<ServerUnderTest> }[] = [
  { name: 'in-process notary', start: startNotary },
  ...(available('notary-server')
    ? [
        {
          name: 'notary-server',
          start: async (): Promise<ServerUnderTest> => {
            const { url, ca, close } = await startNotaryServer();
            return { server: { url, ca }, close };
          },
        },
      ]
    : []),
  ...(available('notary-server', 'notary-signer')
    ? [
        {
          name: 'notary-server with notary-signer',
          start: async (): Promise<ServerUnderTest> => {
            const { url, ca, close } = await startNotaryServerWithSigner();
            return { server: { url, ca }, close };
          },
        },
      ]
    : []),
];
