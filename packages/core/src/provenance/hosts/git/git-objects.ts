import { createHash } from 'node:crypto';
import { CoreError } from '../../../errors.ts';
import { type GitOptions, startGit, withoutSecrets } from './git-command.ts';

/** An object of a git repository, its content held against its id. */
export interface GitObject {
  readonly id: string;
  readonly type: 'blob' | 'tree' | 'commit' | 'tag';
  readonly content: Uint8Array;
}

/** Options of {@link GitObjects}. */
export interface GitObjectsOptions extends GitOptions {
  /** Largest object read, in bytes. @defaultValue 16777216 */
  readonly maxObjectBytes?: number;
  /** Called with every object read. */
  readonly onRead?: (object: Pick<GitObject, 'id' | 'type'> & { readonly bytes: number }) => void;
}

/** A question put to git, answered in order. */
interface Request {
  readonly verb: 'info' | 'contents';
  readonly id: string;
  readonly resolve: (answer: Answer | undefined) => void;
  readonly reject: (reason: unknown) => void;
}

interface Answer {
  readonly type: string;
  readonly size: number;
  readonly content: Uint8Array;
}

/**
 * Reads objects of one bare repository through one git process that lives until `close`. Any number of reads may be under way;
 * git answers them in order. Nothing is fetched: an object a partial clone lacks is not there.
 */
export class GitObjects implements AsyncDisposable {
  readonly #directory: string;
  readonly #options: GitObjectsOptions;
  readonly #requests: Request[] = [];
  #child: ReturnType<typeof startGit> | undefined;
  #failure: unknown;
  #header = '';
  #body:
    | { readonly parts: Uint8Array[]; readonly answer: Omit<Answer, 'content'>; missing: number }
    | undefined;
  #timer: NodeJS.Timeout | undefined;

  constructor(directory: string, options: GitObjectsOptions = {}) {
    this.#directory = directory;
    this.#options = options;
  }

  /**
   * Reads an object by its full id.
   *
   * @returns undefined when the repository does not have it
   * @throws {@link CoreError} `SOURCE_LIMIT_EXCEEDED`, `SOURCE_INVALID` when the content is not what the id says, `SOURCE_UNREACHABLE`
   * when git ended or took longer than `timeoutMs`, `SOURCE_UNSUPPORTED` (no git)
   */
  async read(id: string, { signal }: { readonly signal?: AbortSignal } = {}): Promise<GitObject | undefined> {
    if (!/^(?:[0-9a-f]{40}|[0-9a-f]{64})$/.test(id)) {
      throw new CoreError(
        'SOURCE_UNSUPPORTED',
        `read ${JSON.stringify(id.slice(0, 80))}: it is no full object id`,
      );
    }
    const info = await this.#ask('info', id, signal);
    if (info === undefined) return undefined;
    const { maxObjectBytes = 16 * 1024 * 1024, onRead } = this.#options;
    if (info.size > maxObjectBytes) {
      throw new CoreError(
        'SOURCE_LIMIT_EXCEEDED',
        `read ${id}: ${info.size} bytes; the limit is ${maxObjectBytes}`,
      );
    }
    const answer = await this.#ask('contents', id, signal);
    if (answer === undefined) return undefined;
    onRead?.({ id, type: answer.type as GitObject['type'], bytes: answer.size });
    const hash = createHash(id.length === 64 ? 'sha256' : 'sha1');
    hash.update(`${answer.type} ${answer.size}\0`).update(answer.content);
    if (hash.digest('hex') !== id)
      throw new CoreError('SOURCE_INVALID', `read ${id}: its content has another id`);
    return { id, type: answer.type as GitObject['type'], content: answer.content };
  }

  /** Ends git; reads under way are rejected. */
  async close(): Promise<void> {
    const started = this.#child;
    this.#fail(new CoreError('SOURCE_UNREACHABLE', `git cat-file of ${this.#directory}: closed`));
    const child = await started?.catch(() => undefined);
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const ended = new Promise((resolve) => child.once('close', resolve));
    child.kill('SIGKILL');
    await ended;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #ask(
    verb: Request['verb'],
    id: string,
    signal: AbortSignal | undefined,
  ): Promise<Answer | undefined> {
    signal?.throwIfAborted();
    this.#child ??= this.#start();
    const child = await this.#child;
    signal?.throwIfAborted();
    if (this.#failure !== undefined) throw this.#failure;
    const { promise, resolve, reject } = Promise.withResolvers<Answer | undefined>();
    const abort = () => reject(signal?.reason);
    signal?.addEventListener('abort', abort, { once: true });
    this.#requests.push({ verb, id, resolve, reject });
    if (this.#requests.length === 1) this.#watch();
    child.stdin.write(`${verb} ${id}\n`);
    try {
      return await promise;
    } finally {
      signal?.removeEventListener('abort', abort);
    }
  }

  async #start(): ReturnType<typeof startGit> {
    const child = await startGit(
      {
        directory: this.#directory,
        arguments: ['cat-file', '--batch-command'],
        settings: { 'protocol.https.allow': 'never' },
      },
      this.#options,
    );
    let stderr = '';
    child.stderr.on('data', (chunk: Buffer) => {
      if (stderr.length < 4096) stderr += chunk.toString('utf8');
    });
    child.stdin.on('error', () => {}); // git ended; `close` says so
    child.stdout.on('data', (chunk: Buffer) => {
      try {
        this.#take(chunk);
      } catch (error) {
        this.#fail(error);
        child.kill('SIGKILL');
      }
    });
    child.once('error', (cause) =>
      this.#fail(
        new CoreError('SOURCE_UNSUPPORTED', 'git cannot be started', {
          cause,
          hint: 'Install git 2.36 or newer.',
        }),
      ),
    );
    child.once('close', (status) =>
      this.#fail(
        new CoreError('SOURCE_UNREACHABLE', `git cat-file of ${this.#directory}: ended with ${status}`, {
          hint: withoutSecrets(stderr.trim()) || 'git 2.36 or newer is needed.',
        }),
      ),
    );
    return child;
  }

  /** One answer is a header line and, to `contents`, the bytes and a newline. */
  #take(chunk: Uint8Array): void {
    let rest = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
    while (rest.length > 0) {
      if (this.#body === undefined) {
        const end = rest.indexOf(10);
        this.#header += rest.toString('latin1', 0, end < 0 ? rest.length : end);
        if (this.#header.length > 4096) throw invalidAnswer(this.#header);
        if (end < 0) return;
        rest = rest.subarray(end + 1);
        this.#takeHeader();
      } else {
        const part = rest.subarray(0, this.#body.missing);
        rest = rest.subarray(part.length);
        this.#body.parts.push(part);
        this.#body.missing -= part.length;
        if (this.#body.missing > 0) return;
        const { parts, answer } = this.#body;
        this.#body = undefined;
        this.#answer({ ...answer, content: Buffer.concat(parts, answer.size) });
      }
    }
  }

  #takeHeader(): void {
    const header = this.#header;
    this.#header = '';
    const request = this.#requests[0];
    if (request === undefined) throw invalidAnswer(header);
    if (header === `${request.id} missing`) {
      this.#answer(undefined);
      return;
    }
    const [, id, type = '', size = ''] = /^([0-9a-f]+) (blob|tree|commit|tag) (\d+)$/.exec(header) ?? [];
    if (id !== request.id) throw invalidAnswer(header);
    const answer = { type, size: Number(size) };
    if (request.verb === 'info') this.#answer({ ...answer, content: new Uint8Array() });
    else this.#body = { parts: [], answer, missing: answer.size + 1 };
  }

  #answer(answer: Answer | undefined): void {
    this.#requests.shift()?.resolve(answer);
    this.#watch();
  }

  /** git has `timeoutMs` for each answer. */
  #watch(): void {
    clearTimeout(this.#timer);
    if (this.#requests.length === 0) return;
    const { timeoutMs = 600_000 } = this.#options;
    this.#timer = setTimeout(() => {
      this.#fail(new CoreError('SOURCE_UNREACHABLE', `git cat-file: no answer after ${timeoutMs} ms`));
      void this.#child?.then((child) => child.kill('SIGKILL'));
    }, timeoutMs);
  }

  #fail(reason: unknown): void {
    this.#failure ??= reason;
    clearTimeout(this.#timer);
    for (const { reject } of this.#requests.splice(0)) reject(this.#failure);
  }
}

function invalidAnswer(header: string): CoreError {
  return new CoreError('SOURCE_INVALID', `git cat-file answered ${JSON.stringify(header.slice(0, 200))}`);
}
