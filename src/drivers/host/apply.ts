/**
 * Takes effects to the host, and settles those a crash has left in doubt: they may have been applied, wholly or not at
 * all, before the process died. The host is looked at; what it shows decides:
 *
 * | effect          | host shows after the crash               | taken as                                  |
 * |-----------------|------------------------------------------|-------------------------------------------|
 * | write, setSize  | anything                                 | applied again: absolute, so the same      |
 * | setTimes, sync  | anything                                 | applied again                             |
 * | create          | no such name                             | not applied: applied now                  |
 * |                 | a file born after the intent             | ours: success                             |
 * |                 | anything else                            | somebody else's: EXIST                    |
 * | makeDirectory   | as for create, with a directory          |                                           |
 * | unlink,         | the file that was meant                  | not applied: applied now                  |
 * | removeDirectory | no such name, or another file            | applied: success                          |
 * | rename          | the file under the old name              | not applied: applied now                  |
 * |                 | the file under the new name              | applied: success                          |
 * |                 | neither                                  | somebody took it away: NOENT              |
 * | link            | no such new name                         | not applied: applied now                  |
 * |                 | the new name is the file                 | applied: success; another file: EXIST     |
 * | symlink         | no such name                             | not applied: applied now                  |
 * |                 | a link that says the same                | applied: success; anything else: EXIST    |
 *
 * Writes to a file that is gone (its name is another file's, or nobody's) are dropped and reported: nobody could read
 * them. Effects on a folder that cannot be opened at all wait for it.
 */
import { ERRNO } from '../../abi/errno.ts';
import { FILE_TYPE } from '../../kernel/ports.ts';
import * as at from './at.ts';
import { EFFECT, type Effect, KEEP_TIME } from './effects.ts';
import { type HostObject, lookInside, MAY_WRITE, type ObjectTable, openFile, renamed } from './objects.ts';
import { type Place, walk } from './walk.ts';

/** Not now: the folder or the disk has to come back first. */
export const LATER = -0x20000;
/** The host's birth times are coarser than its clock, in nanoseconds. */
const BIRTH_SLACK_NS = 1_000_000_000n;

/** What must reach the disk before an effect is done. */
export interface ToSync {
  /** Descriptors of open files, not ours to close. */
  readonly files: Set<number>;
  /** Descriptors of directories and files, ours to close. */
  readonly directories: number[];
}

export class Applier {
  readonly #objects: ObjectTable;
  /** Whether changed directories are to be synced. */
  readonly #powerSafe: boolean;

  constructor(objects: ObjectTable, powerSafe: boolean) {
    this.#objects = objects;
    this.#powerSafe = powerSafe;
  }

  /**
   * Applies one effect: its result, 0 or -errno, or LATER.
   * @param doubtful a former process may have applied it.
   */
  apply(effect: Effect, doubtful: boolean, sync: ToSync): number {
    const folder = this.#objects.get(effect.folder);
    if (folder === undefined) return -ERRNO.STALE;
    if (folder.fd < 0) return LATER;
    const object = this.#objects.get(effect.object);
    switch (effect.kind) {
      case EFFECT.write:
        return this.#write(effect, object, sync);
      case EFFECT.setSize:
        return this.#setSize(effect, object, folder, sync);
      case EFFECT.setTimes:
        return this.#setTimes(effect, object, folder);
      case EFFECT.sync:
        return this.#sync(object, sync);
      case EFFECT.rename:
      case EFFECT.link:
        return this.#two(effect, folder, doubtful, sync);
      default:
        return this.#at(folder, effect.path, sync, (place) => this.#one(effect, place, doubtful));
    }
  }

  #write(effect: Effect, object: HostObject | undefined, sync: ToSync): number {
    if (object === undefined || object.fd < 0) return -ERRNO.STALE;
    const result = at.writeAll(object.fd, effect.bytes, effect.offset);
    if (result === -ERRNO.NOSPC || result === -ERRNO.DQUOT) return LATER;
    if (this.#powerSafe) sync.files.add(object.fd);
    return result;
  }

  #setSize(effect: Effect, object: HostObject | undefined, folder: HostObject, sync: ToSync): number {
    if (effect.object !== 0) {
      if (object === undefined || object.fd < 0) return -ERRNO.STALE;
      if (this.#powerSafe) sync.files.add(object.fd);
      return at.truncate(object.fd, effect.offset);
    }
    const look = lookInside(folder.fd, effect.path);
    if (look < 0) return look;
    const stat = at.statOf(look);
    const fd = at.isSame(stat, effect) ? openFile(look, MAY_WRITE) : -ERRNO.STALE;
    at.close(look);
    if (fd < 0) return fd;
    const result = at.truncate(fd, effect.offset);
    if (this.#powerSafe) {
      sync.files.add(fd);
      sync.directories.push(fd);
    } else at.close(fd);
    return result;
  }

  #setTimes(effect: Effect, object: HostObject | undefined, folder: HostObject): number {
    if (effect.object !== 0) {
      if (object === undefined || object.fd < 0) return -ERRNO.STALE;
      return setTimes(object.fd, effect, at.setTimesOf);
    }
    const look = lookInside(folder.fd, effect.path);
    if (look < 0) return look;
    const result = setTimes(look, effect, (fd, accessedNs, modifiedNs, type) => {
      if (type !== FILE_TYPE.symbolicLink) return at.setTimesOf(fd, accessedNs, modifiedNs);
      return this.#at(folder, effect.path, undefined, (place) =>
        at.setLinkTimesAt(place.directory, place.name, accessedNs, modifiedNs),
      );
    });
    at.close(look);
    return result;
  }

  #sync(object: HostObject | undefined, sync: ToSync): number {
    if (object === undefined || object.fd < 0) return -ERRNO.STALE;
    const copy = at.reopenDirectory(object.fd);
    if (copy >= 0) sync.directories.push(copy);
    else sync.files.add(object.fd);
    return 0;
  }

  /** Effects on one name. */
  #one(effect: Effect, place: Place, doubtful: boolean): number {
    const { directory, name } = place;
    const before = doubtful ? at.statAt(directory, name) : -ERRNO.NOENT;
    switch (effect.kind) {
      case EFFECT.create:
      case EFFECT.makeDirectory: {
        const isFile = effect.kind === EFFECT.create;
        const type = isFile ? FILE_TYPE.regularFile : FILE_TYPE.directory;
        let result = isFile ? at.createAt(directory, name) : at.mkdirAt(directory, name);
        const stat = at.statAt(directory, name);
        if (typeof stat === 'number') return result === 0 ? stat : result;
        const born = stat.bornNs === 0n || stat.bornNs >= effect.time1 - BIRTH_SLACK_NS;
        if (doubtful && result === -ERRNO.EXIST && stat.type === type && born) result = 0;
        return result;
      }
      case EFFECT.unlink:
      case EFFECT.removeDirectory:
        if (doubtful && !at.isSame(before, effect)) return 0;
        return effect.kind === EFFECT.unlink ? at.unlinkAt(directory, name) : at.rmdirAt(directory, name);
      default: {
        const target = effect.toPath;
        const result = at.symlinkAt(target, directory, name);
        if (!doubtful || result !== -ERRNO.EXIST) return result;
        return at.readlinkAt(directory, name) === target ? 0 : result;
      }
    }
  }

  /** Rename and link: from one name to another, maybe in another granted folder. */
  #two(effect: Effect, folder: HostObject, doubtful: boolean, sync: ToSync): number {
    const toFolder = this.#objects.get(effect.toFolder);
    if (toFolder === undefined) return -ERRNO.STALE;
    if (toFolder.fd < 0) return LATER;
    const result = this.#at(toFolder, effect.toPath, sync, (to) => {
      const there = doubtful && at.isSame(at.statAt(to.directory, to.name), effect);
      if (there && effect.kind === EFFECT.link) return 0;
      const moved = this.#at(folder, effect.path, sync, (from) => {
        if (effect.kind === EFFECT.link) return at.linkAt(from.directory, from.name, to.directory, to.name);
        if (doubtful && !at.isSame(at.statAt(from.directory, from.name), effect)) return -ERRNO.NOENT;
        return at.renameAt(from.directory, from.name, to.directory, to.name);
      });
      return there && moved < 0 ? 0 : moved;
    });
    if (result === 0 && effect.kind === EFFECT.rename) this.#follow(effect);
    return result;
  }

  /** Open objects go with a rename. One the space has no room to note becomes stale at the next restart, no worse. */
  #follow(effect: Effect): void {
    const { folder, toFolder, path, toPath } = effect;
    for (const object of this.#objects.all()) {
      if (object.folder !== folder || object.inside === '') continue;
      const place = renamed(object.path, path, toPath);
      // A file the rename has replaced has the new name too, but is not the one that moved.
      if (place !== undefined) object.setPlace(toFolder, place);
    }
  }

  /** Runs a call on the place of a path without links, whose directory is then to be synced. */
  #at(folder: HostObject, path: string, sync: ToSync | undefined, call: (place: Place) => number): number {
    const place = walk(folder.fd, path, 'never');
    if (typeof place === 'number') return place;
    const result = place.name === '' ? -ERRNO.INVAL : call(place);
    if (sync !== undefined && this.#powerSafe) {
      const copy = at.reopenDirectory(place.directory);
      if (copy >= 0) sync.directories.push(copy);
    }
    place.done();
    return result;
  }
}

/** Sets what the effect gives and leaves what it keeps as it is now. */
function setTimes(
  fd: number,
  effect: Effect,
  set: (fd: number, accessedNs: bigint, modifiedNs: bigint, type: number) => number,
): number {
  const stat = at.statOf(fd);
  if (typeof stat === 'number') return stat;
  const accessed = effect.time1 === KEEP_TIME ? stat.accessedNs : effect.time1;
  const modified = effect.time2 === KEEP_TIME ? stat.modifiedNs : effect.time2;
  return set(fd, accessed, modified, stat.type);
}
