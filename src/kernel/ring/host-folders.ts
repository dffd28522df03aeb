/** Operations on a folder of the host, by its port. What changes the host waits for a durable checkpoint. */
import { ERRNO } from '../../abi/errno.ts';
import { OBJECT, RIGHT } from '../../abi/objects.ts';
import { OPERATION, OPTION } from '../../abi/ring.ts';
import type { Core } from '../core.ts';
import { FILE_TYPE, type HostDirectory } from '../ports.ts';
import { decodeChange, encodeListed } from './attributes.ts';
import { describe, HOST } from './hosts.ts';
import { giveOpened } from './opened.ts';
import type { Operation } from './operation.ts';
import type { Target } from './server.ts';

export class HostFolders {
  readonly #core: Core;
  constructor(core: Core) {
    this.#core = core;
  }

  attempt(op: Operation, folder: HostDirectory, target: Target): number {
    const follow = (op.options & OPTION.follow) !== 0;
    const directory = (op.options & OPTION.directory) !== 0;
    const path = op.bytes(1);
    if (path.includes(0)) return -ERRNO.INVAL;
    switch (op.code) {
      case OPERATION.open:
        return this.#open(op, folder, path, target);
      case OPERATION.list:
        return list(op, folder);
      case OPERATION.describe: {
        const stat = folder.stat(path, follow || path.length === 0);
        return typeof stat === 'number' ? stat : describe(op, stat);
      }
      case OPERATION.readLink: {
        const says = folder.readlink(path);
        return typeof says === 'number' ? says : op.fill(says);
      }
      case OPERATION.create:
        if (directory) return folder.makeDirectory(op, path);
        return (op.options & OPTION.symbolic) === 0 ? -ERRNO.INVAL : folder.symlink(op, op.bytes(2), path);
      case OPERATION.remove:
        return directory ? folder.removeDirectory(op, path) : folder.unlink(op, path);
      case OPERATION.rename:
      case OPERATION.link:
        return this.#rename(op, folder, path, follow);
      case OPERATION.change: {
        const change = decodeChange(op.bytes(2), op.options);
        if (change === null || change.size !== null) return -ERRNO.INVAL;
        return folder.setTimes(op, path, follow || path.length === 0, change);
      }
      case OPERATION.sync:
        return folder.sync(op);
      default:
        return op.code === OPERATION.read || op.code === OPERATION.write ? -ERRNO.ISDIR : -ERRNO.NOTSUP;
    }
  }

  #open(op: Operation, folder: HostDirectory, path: Uint8Array, target: Target): number {
    const { options } = op;
    const has = (bit: number): boolean => (options & bit) !== 0;
    const how = {
      create: has(OPTION.create),
      exclusive: has(OPTION.exclusive),
      truncate: has(OPTION.truncate),
      directory: has(OPTION.directory),
      follow: has(OPTION.follow),
      read: has(OPTION.read),
      write: has(OPTION.write),
    };
    return giveOpened(this.#core, op, target, () => {
      const made = folder.open(op, path, how);
      if (typeof made === 'number') return made;
      const type = made.kind === 'directory' ? FILE_TYPE.directory : FILE_TYPE.regularFile;
      return { kind: OBJECT.host, a: made.id, b: HOST.port, type, undo: () => made.close() };
    });
  }

  #rename(op: Operation, folder: HostDirectory, path: Uint8Array, follow: boolean): number {
    const { clists, objects, ports } = this.#core;
    let to = folder;
    if (op.other !== 0) {
      if (op.owner === null) return -ERRNO.GONE;
      const other = clists.find(op.owner, op.other, RIGHT.write);
      if (typeof other === 'number') return other;
      if (other.kind !== OBJECT.host || objects.b(other.object) !== HOST.port) return -ERRNO.XDEV;
      const port = ports?.object(objects.a(other.object));
      if (port === undefined) return -ERRNO.STALE;
      if (port.kind !== 'directory') return -ERRNO.NOTDIR;
      to = port;
    }
    const toPath = op.bytes(2);
    if (toPath.includes(0)) return -ERRNO.INVAL;
    if (op.code === OPERATION.rename) return folder.rename(op, path, to, toPath);
    return folder.link(op, path, follow, to, toPath);
  }
}

/**
 * What the folder holds now, from the cookie on: its entries are numbered in the order of their names, so one that is made or
 * removed between two calls may be told twice or not at all.
 */
function list(op: Operation, folder: HostDirectory): number {
  const entries = folder.list();
  if (typeof entries === 'number') return entries;
  if (op.offset < 0) return -ERRNO.INVAL;
  let used = 0;
  for (let cookie = op.offset; cookie < entries.length && used < op.room; cookie++) {
    const { name, inode, type } = entries[cookie] as (typeof entries)[number];
    used += op.fill(encodeListed(cookie + 1, inode, type, name), used);
  }
  return used;
}
