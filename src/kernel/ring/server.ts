/**
 * What answers operations on an object of some kind: the file tree, the host, a domain's table. They all take the same
 * operations (abi/ring.ts), so that one can stand for another.
 */
import { ERRNO } from '../../abi/errno.ts';
import { type ObjectKind, RIGHT } from '../../abi/objects.ts';
import { OPERATION, OPTION } from '../../abi/ring.ts';
import type { Operation } from './operation.ts';

/** The capability an operation goes through. Good until the next look at a capability list. */
export interface Target {
  readonly object: number;
  readonly kind: ObjectKind;
  readonly rights: number;
  readonly badge: bigint;
  readonly capability: number;
  readonly turn: number;
}

export interface ObjectServer {
  /** It may say WOULD_BLOCK: the operation has a record before it is asked. */
  readonly waits: boolean;
  /**
   * Does what is asked, or begins it: a result from 0 up, -errno, or WOULD_BLOCK; then it is asked again, with the same
   * operation, when its domain was woken or after a restart. It never throws on what a program gave it.
   */
  attempt(operation: Operation, target: Target): number;
}

/** Rights that an operation needs of the object, by its number. */
const NEEDED: readonly number[] = Object.values(OPERATION).reduce<number[]>((needed, code) => {
  const { read, write, map, invoke } = OPERATION;
  const writes: number[] = [write, OPERATION.create, OPERATION.remove, OPERATION.rename, OPERATION.link];
  writes.push(OPERATION.change);
  if (writes.includes(code)) needed[code] = RIGHT.write;
  else if (code === read || code === OPERATION.list || code === OPERATION.readLink) needed[code] = RIGHT.read;
  else if (code === OPERATION.share) needed[code] = RIGHT.derive;
  else needed[code] = code === map ? RIGHT.map : code === invoke ? RIGHT.invoke : 0;
  return needed;
}, []);

/** Rights that an operation needs of the object. */
export function rightsNeeded(code: number, options: number): number {
  if (code !== OPERATION.open) return NEEDED[code] as number;
  const writes = (options & (OPTION.create | OPTION.truncate | OPTION.write)) !== 0;
  return ((options & OPTION.read) !== 0 ? RIGHT.read : 0) | (writes ? RIGHT.write : 0);
}

/** What is left for an object in the space: it can always be read and written, and is durable before anybody outside hears of it. */
export function alwaysReady({ code, options }: Operation): number {
  if (code === OPERATION.sync) return 0;
  return code === OPERATION.wait ? options & (OPTION.read | OPTION.write) : -ERRNO.NOTSUP;
}
