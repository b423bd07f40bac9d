/** What the program may touch. */
export interface Io {
  readonly stdout: (text: string) => void;
  readonly stderr: (text: string) => void;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly signal: AbortSignal;
}

/** Exit codes: what scripts may rely on. */
export const EXIT = { allow: 0, deny: 1, usage: 2, error: 3, interrupted: 130 } as const;
