import { RegistryError } from './errors.ts';

const REASONS: Readonly<Record<string, readonly [reason: string, hint: string]>> = {
  ENOSPC: ['the disk is full', 'Make room, or name a place on another disk.'],
  EDQUOT: ['the quota of the disk is used up', 'Make room, or name a place on another disk.'],
  EROFS: ['the disk can only be read', 'Name a place on another disk.'],
  EACCES: ['writing there is not permitted', 'Name a place this user may write to.'],
  EPERM: ['writing there is not permitted', 'Name a place this user may write to.'],
  EMLINK: ['the file system allows no more links to one file', 'Name a place on another file system.'],
  EFBIG: ['the file system allows no file this large', 'Name a place on another file system.'],
  ENOTDIR: ['a part of the path is a file', 'Name a place in a directory.'],
  ENAMETOOLONG: ['the path is too long', 'Name a place with a shorter path.'],
  EIO: ['the disk does not work', 'Look at the messages of the operating system.'],
  EMFILE: ['this process has too many files open', 'Do less at a time, or raise the limit of open files.'],
  ENFILE: ['this machine has too many files open', 'Do less at a time, or raise the limit of open files.'],
};

/** Says what the disk's refusal means; any other error is returned as it is. */
export function diskFailure(subject: string, error: unknown): unknown {
  const { code = '' } = (error ?? {}) as NodeJS.ErrnoException;
  const known = error instanceof RegistryError || !Object.hasOwn(REASONS, code) ? undefined : REASONS[code];
  if (known === undefined) return error;
  const [reason, hint] = known;
  return new RegistryError('DISK_FAILED', `${subject}: ${reason}`, {
    hint,
    cause: error,
    details: { reason: code },
  });
}
