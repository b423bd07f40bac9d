import type { OnReadOpts, Socket } from 'node:net';

/** Memory taken at once. */
const SLAB_BYTES = 512 * 1024;
/** The least a connection is given for its next read: with more, fewer reads. */
const LEAST_BYTES = 128 * 1024;
/** A read of less is copied, or a few bytes would keep a whole slab. A TLS record, 16 KiB, is not. */
const COPIED_BYTES = 8 * 1024;
/** Slabs kept for later: 16 MiB. */
const MAX_FREE = 32;

/** What of a slab was received into, and what of that was given back. */
interface Slab {
  received: number;
  released: number;
  /** A connection still receives into it. */
  open: boolean;
}

/**
 * Memory that connections receive into. A reader that gives its bytes back has them received into again; others notice
 * nothing, their memory is left to the garbage collector. Left to itself Node allocates 64 KiB for every read, and a copy
 * spends more time on collecting those than on hashing what was in them.
 */
export class ReceiveMemory {
  /** Option of a socket, under which it reads into this memory. @see Node.js, `net.Socket`, `onread` */
  readonly onread: OnReadOpts;
  readonly #slabs = new WeakMap<ArrayBufferLike, Slab>();
  readonly #free: Buffer[] = [];
  /** Where the connection that has just received is to receive next. */
  #rest: Buffer | undefined;

  constructor() {
    const received = (socket: Socket, bytes: number, memory: Buffer) => this.#received(socket, bytes, memory);
    this.onread = {
      buffer: () => this.#next(),
      // Node calls it as a method of the socket, which stays a stream for those who read it.
      callback(this: Socket, bytes: number, memory: Uint8Array) {
        return received(this, bytes, memory as Buffer);
      },
    } as OnReadOpts;
  }

  /** Takes bytes back that were received here. Only who holds them alone may give them, once; all else is ignored. */
  release(bytes: Uint8Array): void {
    const slab = this.#slabs.get(bytes.buffer);
    if (slab === undefined) return;
    slab.released += bytes.byteLength;
    this.#reuse(bytes.buffer, slab);
  }

  #next(): Buffer {
    const rest = this.#rest;
    this.#rest = undefined;
    if (rest !== undefined) return rest;
    const memory = this.#free.pop() ?? Buffer.allocUnsafeSlow(SLAB_BYTES);
    this.#slabs.set(memory.buffer, { received: 0, released: 0, open: true });
    return memory;
  }

  #received(socket: Socket, bytes: number, memory: Buffer): boolean {
    if (bytes < COPIED_BYTES) {
      const goesOn = socket.push(Buffer.from(memory.subarray(0, bytes)));
      this.#rest = memory;
      return goesOn;
    }
    const slab = this.#slabs.get(memory.buffer)!;
    slab.received += bytes;
    const goesOn = socket.push(memory.subarray(0, bytes));
    const rest = memory.subarray(bytes);
    if (rest.byteLength >= LEAST_BYTES) this.#rest = rest;
    else {
      slab.open = false;
      this.#reuse(memory.buffer, slab);
    }
    return goesOn;
  }

  /** Bytes that nobody gives back, such as those of headers, keep a slab from being used again; it is collected. */
  #reuse(memory: ArrayBufferLike, slab: Slab): void {
    if (slab.open || slab.released !== slab.received) return;
    this.#slabs.delete(memory);
    if (this.#free.length < MAX_FREE) this.#free.push(Buffer.from(memory));
  }
}
