/** How long an answer about credentials is good for, in milliseconds: a login, a logout and a new token are seen by then. */
const GOOD_FOR_MS = 300_000;

/** Something that is looked up once for all who ask, and again after a while; a failure is not remembered. */
export class Remembered<T> {
  readonly #load: () => Promise<T>;
  readonly #goodForMs: number;
  #answer: Promise<T> | undefined;
  #pending: Promise<T> | undefined;
  #until = 0;

  constructor(load: () => Promise<T>, goodForMs: number = GOOD_FOR_MS) {
    this.#load = load;
    this.#goodForMs = goodForMs;
  }

  /** @param fresh - looks again, unless that is under way */
  get(fresh = false): Promise<T> {
    if (this.#answer !== undefined && Date.now() < this.#until && !fresh) return this.#answer;
    if (this.#pending !== undefined) return this.#pending;
    const answer = this.#load();
    this.#answer = answer;
    this.#pending = answer;
    this.#until = Date.now() + this.#goodForMs;
    answer.then(
      () => {
        this.#pending = undefined;
      },
      () => {
        this.#pending = undefined;
        this.#answer = undefined;
      },
    );
    return answer;
  }
}
