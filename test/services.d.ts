/** Programs a test can ask for by name, and `docker-engine` for a running engine. */
export type Service = 'docker-engine' | (string & {});
/** Where the Docker Engine listens: DOCKER_HOST, or the default socket when it exists. */
export declare const dockerHost: string | undefined;
/**
 * Tells whether all services are here. Prints what is missing, once per call; throws instead when services
 * are required. Use as `describe.skipIf(!available('notary-server', 'notary'))`.
 */
export declare function available(...services: readonly Service[]): boolean;
/** Full path of a program on PATH. */
export declare function findProgram(name: string): string | undefined;
/** A server process; `close` ends it and removes its directory. */
export interface RunningService {
  /** `127.0.0.1:<port>` */
  readonly host: string;
  readonly url: string;
  /** Private directory of the server. */
  readonly directory: string;
  close(): Promise<void>;
}
/** Starts Debian's docker-registry (distribution 2.8) on a free loopback port. */
export declare function startDockerRegistry(options?: {
  readonly htpasswd?: string;
  readonly schema1?: boolean;
}): Promise<RunningService>;
/** A notary-server over TLS with its own CA. */
export interface NotaryService extends RunningService {
  /** PEM file of the CA that signed the server's certificate. */
  readonly caFile: string;
  readonly ca: string;
}
/** Starts Debian's notary-server: TLS, memory store, local ed25519 signer. */
export declare function startNotaryServer(): Promise<NotaryService>;
/** A DOCKER_CONFIG directory whose docker CLI trusts the notary's certificate. */
export declare function createDockerConfig(directory: string, notary: NotaryService): string;
/** A loopback TCP port nobody listens on. */
export declare function freePort(): Promise<number>;
