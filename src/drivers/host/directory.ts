/**
 * A directory of a host folder, as programs use it: resolves their paths in the sandbox (walk.ts), answers at once what
 * can be answered, and queues what changes the host (core.ts).
 */
import { ERRNO } from '../../abi/errno.ts';
import {
  FILE_TYPE,
  type HostDirectory,
  type HostEntry,
  type HostFile,
  type HostOpenOptions,
  type HostStat,
  type HostTimes,
  type Operation,
} from '../../kernel/ports.ts';
import * as at from './at.ts';
import type { HostCore } from './core.ts';
import { EFFECT, type Intent } from './effects.ts';
import { FileObject, timesOf, withUnseen } from './file.ts';
import {
  DIRECTORY,
  FILE,
  FOLDER,
  type HostObject,
  join,
  MAY_READ,
  MAY_WRITE,
  openFile,
  READ_ONLY,
} from './objects.ts';
import { type Place, walk } from './walk.ts';

/** A path that was found: where, and its name from the granted folder. */
interface Found {
  readonly place: Place;
  readonly path: string;
}

export class DirectoryObject implements HostDirectory {
  readonly kind = 'directory';
  readonly #core: HostCore;
  readonly #object: HostObject;

  constructor(core: HostCore, object: HostObject) {
    this.#core = core;
    this.#object = object;
  }

  get id(): number {
    return this.#object.id;
  }

  get readOnly(): boolean {
    const folder = this.#core.objects.get(this.#object.folder);
    return folder === undefined || (folder.flags & READ_ONLY) !== 0;
  }

  open(op: Operation, path: Uint8Array, options: HostOpenOptions): HostDirectory | HostFile | number {
    let done = 0;
    if (op.effect !== 0) {
      const result = this.#core.through(op, () => 0);
      // Somebody else was quicker to create it: then it is there to be opened.
      const beaten = result === -ERRNO.EXIST && options.create && !options.exclusive;
      if (result < 0 && !beaten) return result;
      done = beaten ? 0 : 1;
    }
    const result = this.#found(path, options.follow, (found) => this.#open(op, found, options, done !== 0));
    if (typeof result !== 'object') return result;
    return this.#core.through(op, () => result.intent ?? 0) || (result.object ?? -ERRNO.IO);
  }

  stat(path: Uint8Array, follow: boolean): HostStat | number {
    const { fd } = this.#object;
    if (path.length === 0) return fd < 0 ? -ERRNO.STALE : at.statOf(fd);
    return this.#found(path, follow, ({ place }) => withUnseen(this.#core, statPlace(place)));
  }

  setTimes(op: Operation, path: Uint8Array, follow: boolean, times: HostTimes): number {
    return this.#changing(op, () => {
      if (path.length === 0) {
        if (this.#object.fd < 0) return -ERRNO.STALE;
        return this.#intent(op, EFFECT.setTimes, this.#object.inside, timesOf(times));
      }
      return this.#found(path, follow, ({ place, path: inside }) => {
        const stat = statPlace(place);
        if (typeof stat === 'number') return stat;
        return this.#intent(op, EFFECT.setTimes, inside, timesOf(times));
      });
    });
  }

  makeDirectory(op: Operation, path: Uint8Array): number {
    return this.#changing(op, () =>
      this.#found(path, false, ({ place, path: inside }) => {
        const stat = statPlace(place);
        if (typeof stat !== 'number') return -ERRNO.EXIST;
        if (stat !== -ERRNO.NOENT) return stat;
        return this.#intent(op, EFFECT.makeDirectory, inside, { time1: this.#core.now() });
      }),
    );
  }

  removeDirectory(op: Operation, path: Uint8Array): number {
    return this.#changing(op, () =>
      this.#found(path, false, ({ place, path: inside }) => {
        const stat = statPlace(place);
        if (typeof stat === 'number') return stat;
        if (stat.type !== FILE_TYPE.directory) return -ERRNO.NOTDIR;
        if (place.name === '') return -ERRNO.INVAL;
        return this.#intent(op, EFFECT.removeDirectory, inside, stat);
      }),
    );
  }

  unlink(op: Operation, path: Uint8Array): number {
    return this.#changing(op, () =>
      this.#found(path, false, ({ place, path: inside }) => {
        const stat = statPlace(place);
        if (typeof stat === 'number') return stat;
        if (stat.type === FILE_TYPE.directory) return -ERRNO.ISDIR;
        return this.#intent(op, EFFECT.unlink, inside, stat);
      }),
    );
  }

  rename(op: Operation, path: Uint8Array, to: HostDirectory, toPath: Uint8Array): number {
    return this.#changing(op, () =>
      this.#found(path, false, (from) => {
        const stat = statPlace(from.place);
        if (typeof stat === 'number') return stat;
        if (from.place.name === '') return -ERRNO.BUSY;
        return this.#target(to, toPath, (target) => {
          const { place } = target;
          if (place.name === '') return -ERRNO.BUSY;
          if (place.mustBeDirectory && stat.type !== FILE_TYPE.directory) return -ERRNO.NOTDIR;
          const there = at.statAt(place.directory, place.name);
          if (typeof there === 'number') {
            if (there !== -ERRNO.NOENT) return there;
          } else if (there.inode === stat.inode && there.device === stat.device) return 0;
          return this.#intent(op, EFFECT.rename, from.path, {
            ...stat,
            toPath: target.path,
            toFolder: target.folder,
          });
        });
      }),
    );
  }

  link(op: Operation, path: Uint8Array, follow: boolean, to: HostDirectory, toPath: Uint8Array): number {
    return this.#changing(op, () =>
      this.#found(path, follow, (from) => {
        const stat = statPlace(from.place);
        if (typeof stat === 'number') return stat;
        if (stat.type === FILE_TYPE.directory) return -ERRNO.PERM;
        return this.#target(to, toPath, ({ place, path: inside, folder }) => {
          const there = statPlace(place);
          if (typeof there !== 'number') return -ERRNO.EXIST;
          if (there !== -ERRNO.NOENT || place.mustBeDirectory) return there;
          return this.#intent(op, EFFECT.link, from.path, { ...stat, toPath: inside, toFolder: folder });
        });
      }),
    );
  }

  symlink(op: Operation, target: Uint8Array, path: Uint8Array): number {
    return this.#changing(op, () => {
      const text = at.toBinary(target);
      if (text === '') return -ERRNO.NOENT;
      if (text.includes('\0')) return -ERRNO.INVAL;
      if (text.startsWith('/')) return -ERRNO.PERM;
      return this.#found(path, false, ({ place, path: inside }) => {
        const stat = statPlace(place);
        if (typeof stat !== 'number') return -ERRNO.EXIST;
        if (stat !== -ERRNO.NOENT || place.mustBeDirectory) return stat;
        return this.#intent(op, EFFECT.symlink, inside, { toPath: text });
      });
    });
  }

  readlink(path: Uint8Array): Uint8Array | number {
    return this.#found(path, false, ({ place }) => {
      if (place.name === '') return -ERRNO.INVAL;
      const text = at.readlinkAt(place.directory, place.name);
      return typeof text === 'number' ? text : at.fromBinary(text);
    });
  }

  list(): HostEntry[] | number {
    const { fd } = this.#object;
    if (fd < 0) return -ERRNO.STALE;
    const names = at.namesIn(fd);
    if (typeof names === 'number') return names;
    const entries: HostEntry[] = [];
    for (const name of names.sort()) {
      const stat = at.statAt(fd, name);
      // It went away since we looked: then it is not there.
      if (stat === -ERRNO.NOENT) continue;
      const known = typeof stat !== 'number';
      entries.push({
        name: at.fromBinary(name),
        inode: known ? stat.inode : 0n,
        type: known ? stat.type : FILE_TYPE.unknown,
      });
    }
    return entries;
  }

  sync(op: Operation): number {
    return this.#core.through(op, () => {
      if (this.#object.fd < 0) return -ERRNO.STALE;
      return { kind: EFFECT.sync, domain: op.domain, folder: this.#object.folder, object: this.#object.id };
    });
  }

  close(): void {
    if (this.#object.kind !== FOLDER) this.#core.close(this.#object);
  }

  /** Finds what a path names for as long as `use` runs. */
  #found<T>(path: Uint8Array, follow: boolean, use: (found: Found) => T): T | number {
    if (this.#object.fd < 0) return -ERRNO.STALE;
    const place = walk(this.#object.fd, at.toBinary(path), follow);
    if (typeof place === 'number') return place;
    try {
      return use({ place, path: join(this.#object.inside, ...place.parents, place.name) });
    } finally {
      place.done();
    }
  }

  /** Finds the second path of an operation, in a directory that may be another folder's. */
  #target(
    to: HostDirectory,
    path: Uint8Array,
    use: (found: Found & { folder: number }) => Intent | number,
  ): Intent | number {
    if (!(to instanceof DirectoryObject) || to.#core !== this.#core) return -ERRNO.XDEV;
    if (to.readOnly) return -ERRNO.ROFS;
    return to.#found(path, false, (found) => use({ ...found, folder: to.#object.folder }));
  }

  #changing(op: Operation, intent: () => Intent | number): number {
    return this.#core.through(op, () => (this.readOnly ? -ERRNO.ROFS : intent()));
  }

  #intent(op: Operation, kind: number, path: string, more: Partial<Intent>): Intent {
    const { toPath, toFolder, device, inode, bornNs, offset, time1, time2 } = more;
    return {
      kind,
      domain: op.domain,
      folder: this.#object.folder,
      path,
      toPath: toPath ?? '',
      toFolder: toFolder ?? 0,
      device: device ?? 0n,
      inode: inode ?? 0n,
      bornNs: bornNs ?? 0n,
      offset: offset ?? 0,
      time1: time1 ?? 0n,
      time2: time2 ?? 0n,
    };
  }

  /** Opens what is there, or says what has to happen first. */
  #open(
    op: Operation,
    { place, path }: Found,
    options: HostOpenOptions,
    done: boolean,
  ): { object?: HostDirectory | HostFile; intent?: Intent } | number {
    const look =
      place.name === '' ? at.reopenDirectory(place.directory) : at.lookAt(place.directory, place.name);
    if (look === -ERRNO.NOENT && options.create && !done) {
      if (place.mustBeDirectory) return -ERRNO.ISDIR;
      if (options.directory) return -ERRNO.INVAL;
      if (this.readOnly) return -ERRNO.ROFS;
      return { intent: this.#intent(op, EFFECT.create, path, { time1: this.#core.now() }) };
    }
    if (look < 0) return look;
    let keep = false;
    try {
      const stat = at.statOf(look);
      if (typeof stat === 'number') return stat;
      if (options.create && options.exclusive && !done) return -ERRNO.EXIST;
      if (stat.type === FILE_TYPE.symbolicLink) return -ERRNO.LOOP;
      if (stat.type === FILE_TYPE.directory) {
        if (options.write || options.truncate || (options.create && !options.directory)) return -ERRNO.ISDIR;
        const object = this.#adopt(op, DIRECTORY, 0, path, stat, look);
        keep = object !== undefined;
        return object === undefined ? -ERRNO.NOSPC : { object: new DirectoryObject(this.#core, object) };
      }
      if (place.mustBeDirectory || options.directory) return -ERRNO.NOTDIR;
      return this.#openRegular(op, path, options, done, stat, look);
    } finally {
      if (!keep) at.close(look);
    }
  }

  #openRegular(
    op: Operation,
    path: string,
    options: HostOpenOptions,
    done: boolean,
    stat: at.FullStat,
    look: number,
  ): { object?: HostFile; intent?: Intent } | number {
    if ((options.write || options.truncate) && this.readOnly) return -ERRNO.ROFS;
    const flags = (options.read ? MAY_READ : 0) | (options.write ? MAY_WRITE : 0);
    const fd = openFile(look, options.truncate ? flags | MAY_WRITE : flags);
    if (fd < 0) return fd;
    const size = withUnseen(this.#core, stat);
    if (options.truncate && !done && typeof size !== 'number' && size.size > 0) {
      at.close(fd);
      return { intent: this.#intent(op, EFFECT.setSize, path, stat) };
    }
    const object = this.#adopt(op, FILE, flags, path, stat, fd);
    if (object !== undefined) return { object: new FileObject(this.#core, object) };
    at.close(fd);
    return -ERRNO.NOSPC;
  }

  #adopt(
    op: Operation,
    kind: number,
    flags: number,
    path: string,
    identity: at.Identity,
    fd: number,
  ): HostObject | undefined {
    const folder = this.#object.folder;
    return this.#core.objects.create({ kind, flags, folder, path, identity, domain: op.domain }, fd);
  }
}

/** Attributes of what a place names; a file where only a directory will do is none. */
function statPlace(place: Place): at.FullStat | number {
  if (place.name === '') return at.statOf(place.directory);
  const stat = at.statAt(place.directory, place.name);
  if (typeof stat === 'number' || !place.mustBeDirectory || stat.type === FILE_TYPE.directory) return stat;
  return -ERRNO.NOTDIR;
}
