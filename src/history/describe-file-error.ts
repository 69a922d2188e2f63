const REASONS: Readonly<Record<string, string>> = {
  ENOSPC: 'the disk is full',
  EDQUOT: 'the disk quota is used up',
  EROFS: 'the file system is read-only',
  EACCES: 'permission denied',
  EPERM: 'permission denied',
  ENOTDIR: 'a part of its path is not a directory',
  EEXIST: 'it is not a directory',
  EISDIR: 'it is a directory',
  ENOENT: 'its directory does not exist',
  EIO: 'the disk reports an error',
  EMFILE: 'the exporter has too many open files',
}

/** Describes why a file cannot be written, in a few words. */
export function describeFileError(error: unknown): string {
  const code = error instanceof Error && 'code' in error ? String(error.code) : ''
  return REASONS[code] ?? (code || 'unknown error')
}
