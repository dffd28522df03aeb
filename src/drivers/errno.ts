/**
 * The host's errors as the numbers programs see. Node tells errors by the names of errno.h; those of WASI are the same
 * names in lower case or as in src/abi/errno.ts.
 */
import { ERRNO } from '../abi/errno.ts';

/** The number for an exception Node threw; IO for one nobody knows. Never 0. */
export function errnoOf(error: unknown): number {
  const code = (error as { code?: unknown } | null)?.code;
  if (typeof code !== 'string') return ERRNO.IO;
  if (code === 'EWOULDBLOCK') return ERRNO.AGAIN;
  if (code === 'EOPNOTSUPP') return ERRNO.NOTSUP;
  if (code === 'ERR_STREAM_DESTROYED' || code === 'ERR_STREAM_WRITE_AFTER_END') return ERRNO.PIPE;
  if (!code.startsWith('E')) return ERRNO.IO;
  const number = (ERRNO as Record<string, number>)[code.slice(1)];
  return number === undefined || number === 0 ? ERRNO.IO : number;
}
