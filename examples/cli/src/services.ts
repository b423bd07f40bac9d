import { readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { dockerEngineBuilder, type PublicServices, publicServices, type VetOptions } from '@imagevet/core';
import { type Keychain, keychainFromEnvironment, parseReference, RegistryClient } from '@imagevet/registry';
import {
  createKeyStore,
  createTrustState,
  dockerNotaryServer,
  type KeyStore,
  type NotaryServer,
  type TrustStateStore,
} from '@imagevet/trust';
import { type Arguments, type TrustArguments, UsageError } from './arguments.ts';
import type { Io } from './io.ts';

/** The public registries, Docker Hub and GitHub, or what stands for them. */
export function servicesOf(args: Arguments, io: Io): PublicServices {
  return publicServices({
    hosts: args.hosts,
    keychain: keychainOf(io),
    // Whoever types the name of a registry means it; what a Dockerfile names is another matter.
    internalRegistries: [parseReference(args.image).registry],
    hubUrl: args.hub,
    gitUrl: args.gitHost,
    gitHubToken: args.gitHubToken,
    cacheDirectory: args.cache,
    mirrorDirectory: args.mirrors,
    offline: args.offline,
    onCacheProblem: ({ message }) => io.stderr(`cache: ${message}\n`),
  });
}

/** The internal registry, when one is named. */
export function targetOf(args: Arguments, io: Io): VetOptions['target'] {
  if (args.target === undefined) return undefined;
  const client = new RegistryClient({
    hosts: args.hosts,
    keychain: keychainOf(io),
  });
  return { ...args.target, client };
}

/** The Docker Engine that builds into the target. */
export function builderOf(args: Arguments, target: VetOptions['target']): VetOptions['builder'] {
  if (target === undefined) return undefined;
  return dockerEngineBuilder({ dockerHost: args.engine, registry: target.client });
}

/** The notary that was named, or the one docker would ask for the registry, as docker would. */
export async function notaryOf(registry: string, trust: TrustArguments, io: Io): Promise<NotaryServer> {
  const { server: url, ca } = trust;
  if (url !== undefined) return { url, ...(ca === undefined ? {} : { ca: readText(ca) }) };
  const found = await dockerNotaryServer(registry, {
    directory: dockerDirectory(io),
    contentTrustServer: io.env.DOCKER_CONTENT_TRUST_SERVER,
  });
  return ca === undefined ? found : { ...found, ca: readText(ca) };
}

/** The signing keys, where docker and notary keep theirs; only the environment may hold their passphrase. */
export function keysOf(trust: TrustArguments, io: Io): KeyStore {
  if (trust.passphrase === undefined || trust.passphrase === '') {
    throw new UsageError('set IMAGEVET_PASSPHRASE to the passphrase of the signing keys');
  }
  return createKeyStore({ directory: trustDirectoryOf(trust, io), passphrase: trust.passphrase });
}

/** Where docker and notary keep signing keys. */
export function trustDirectoryOf(trust: TrustArguments, io: Io): string {
  return trust.directory ?? join(dockerDirectory(io), 'trust');
}

/** What was verified last, so that nobody can show an older state. */
export function stateOf(trust: TrustArguments, io: Io): TrustStateStore {
  const home = io.env.XDG_STATE_HOME ?? join(io.env.HOME ?? homedir(), '.local', 'state');
  return createTrustState(trust.state ?? join(home, 'imagevet', 'trust'));
}

/** Reads a file named on the command line. */
export function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    throw new UsageError(`cannot read ${path}: ${error instanceof Error ? error.message : String(error)}`);
  }
}

function keychainOf(io: Io): Keychain {
  return keychainFromEnvironment(io.env, { homeDirectory: io.env.HOME ?? homedir() });
}

function dockerDirectory(io: Io): string {
  return io.env.DOCKER_CONFIG ?? join(io.env.HOME ?? homedir(), '.docker');
}
