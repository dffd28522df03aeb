/**
 * The types of preview 1's functions, so that a program that declares one otherwise is refused by name at install, and
 * the functions here may trust the types of their arguments. Letters: i is i32, I is i64; parameters, colon, results.
 */
import type { Caller, ImportValue, SystemCall } from '../../kernel/caller.ts';

const SIGNATURES: Readonly<Record<string, string>> = {
  args_get: 'ii:i',
  args_sizes_get: 'ii:i',
  environ_get: 'ii:i',
  environ_sizes_get: 'ii:i',
  clock_res_get: 'ii:i',
  clock_time_get: 'iIi:i',
  fd_advise: 'iIIi:i',
  fd_allocate: 'iII:i',
  fd_close: 'i:i',
  fd_datasync: 'i:i',
  fd_fdstat_get: 'ii:i',
  fd_fdstat_set_flags: 'ii:i',
  fd_fdstat_set_rights: 'iII:i',
  fd_filestat_get: 'ii:i',
  fd_filestat_set_size: 'iI:i',
  fd_filestat_set_times: 'iIIi:i',
  fd_pread: 'iiiIi:i',
  fd_prestat_get: 'ii:i',
  fd_prestat_dir_name: 'iii:i',
  fd_pwrite: 'iiiIi:i',
  fd_read: 'iiii:i',
  fd_readdir: 'iiiIi:i',
  fd_renumber: 'ii:i',
  fd_seek: 'iIii:i',
  fd_sync: 'i:i',
  fd_tell: 'ii:i',
  fd_write: 'iiii:i',
  path_create_directory: 'iii:i',
  path_filestat_get: 'iiiii:i',
  path_filestat_set_times: 'iiiiIIi:i',
  path_link: 'iiiiiii:i',
  path_open: 'iiiiiIIii:i',
  path_readlink: 'iiiiii:i',
  path_remove_directory: 'iii:i',
  path_rename: 'iiiiii:i',
  path_symlink: 'iiiii:i',
  path_unlink_file: 'iii:i',
  poll_oneoff: 'iiii:i',
  proc_exit: 'i:',
  proc_raise: 'i:i',
  random_get: 'ii:i',
  sched_yield: ':i',
  sock_accept: 'iii:i',
  sock_recv: 'iiiiii:i',
  sock_send: 'iiiii:i',
  sock_shutdown: 'ii:i',
};

/** Value types by their binary codes. */
const LETTERS: Readonly<Record<number, string>> = { 127: 'i', 126: 'I' };

/** What `typeof` says of an argument of each type. */
const TYPE_OF: Readonly<Record<string, string>> = { i: 'number', I: 'bigint' };

export const FUNCTION_NAMES: readonly string[] = Object.keys(SIGNATURES);

/** Letters of a function's parameters: i for i32, I for i64. */
export function signatureOf(name: string): string {
  return SIGNATURES[name]?.split(':')[0] ?? '';
}

/** Whether a function of this name has these parameters and results (value types by their binary codes). */
export function hasSignature(name: string, params: readonly number[], results: readonly number[]): boolean {
  const letters = (types: readonly number[]): string => types.map((type) => LETTERS[type] ?? '?').join('');
  return SIGNATURES[name] === `${letters(params)}:${letters(results)}`;
}

/**
 * The call for callers that may not be what they say: arguments of other types than preview 1's end the domain.
 * The types a module declares are the compiler's word, and the calls behind this trust their arguments' types.
 */
export function guarded(name: string, call: SystemCall): SystemCall {
  const types = Array.from(signatureOf(name), (letter) => TYPE_OF[letter] as string);
  const [t0, t1, t2, t3] = types;
  type V = ImportValue;
  const fn = call as (caller: Caller, ...args: V[]) => V | undefined;
  const wrong = (caller: Caller): never => caller.trap(`${name} was called with arguments of other types`);
  switch (types.length) {
    case 0:
      return call;
    case 1:
      return (k: Caller, a: V) => (typeof a === t0 ? fn(k, a) : wrong(k));
    case 2:
      return (k: Caller, a: V, b: V) => (typeof a === t0 && typeof b === t1 ? fn(k, a, b) : wrong(k));
    case 3:
      return (k: Caller, a: V, b: V, c: V) =>
        typeof a === t0 && typeof b === t1 && typeof c === t2 ? fn(k, a, b, c) : wrong(k);
    case 4:
      return (k: Caller, a: V, b: V, c: V, d: V) =>
        typeof a === t0 && typeof b === t1 && typeof c === t2 && typeof d === t3
          ? fn(k, a, b, c, d)
          : wrong(k);
    default:
      return (k: Caller, ...args: V[]) =>
        types.every((type, i) => typeof args[i] === type) ? fn(k, ...args) : wrong(k);
  }
}
