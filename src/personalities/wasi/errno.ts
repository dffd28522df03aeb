/**
 * The error numbers of wasi_snapshot_preview1. They live in abi/ because the file tree and the ports give them too;
 * this is the name by which the personality's own code imports them.
 */
export { ERRNO, type Errno, errnoName } from '../../abi/errno.ts';
