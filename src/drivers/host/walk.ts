/**
 * The sandbox of host folders: from a directory and a guest's path to one directory and one name, which lie inside. Each
 * component is opened by itself without following links; links are read and followed here, within the same bounds.
 * `..` goes back to a directory this walk came through, never to what the host calls its parent, so that no rename, swap
 * or link by somebody else at the same time leads out: what the walk holds are descriptors, not paths.
 *
 * Why: RATIONALE.md#the-sandbox-of-host-folders-walks-by-descriptors
 */
import { ERRNO } from '../../abi/errno.ts';
import { LINK_DEPTH_MAX, PATH_MAX_BYTES } from '../../base/limits.ts';
import { FILE_TYPE } from '../../kernel/ports.ts';
import * as at from './at.ts';

/** A name that turns from a link into something else and back at each look: somebody plays with us. */
const RACES_MAX = 100;

/** The place of a name: `directory` is valid until `done`. An empty name is the directory itself. */
export interface Place {
  readonly directory: number;
  readonly name: string;
  /** Names from the walk's start to `directory`, no link among them. */
  readonly parents: readonly string[];
  /** The path ended in a slash: only a directory will do. */
  readonly mustBeDirectory: boolean;
  done(): void;
}

/**
 * @param start descriptor of the directory the path is relative to, and cannot leave.
 * @param path binary string.
 * @param follow whether a link with the last name is followed; 'never' refuses links anywhere: for a path that had none.
 */
export function walk(start: number, path: string, follow: boolean | 'never'): Place | number {
  if (path.length > PATH_MAX_BYTES) return -ERRNO.NAMETOOLONG;
  if (path.includes('\0')) return -ERRNO.INVAL;
  if (path === '') return -ERRNO.NOENT;
  if (path.startsWith('/')) return -ERRNO.PERM;
  const walker = new Walker(start, follow !== 'never');
  const failed = walker.run(path, follow === true);
  if (failed === 0) return walker.place();
  walker.done();
  return failed;
}

class Walker {
  readonly #start: number;
  readonly #opened: number[] = [];
  readonly #names: string[] = [];
  readonly #mayFollow: boolean;
  #last = '';
  #mustBeDirectory = false;
  #links = 0;
  #races = 0;

  constructor(start: number, mayFollow: boolean) {
    this.#start = start;
    this.#mayFollow = mayFollow;
  }

  get #top(): number {
    return this.#opened.at(-1) ?? this.#start;
  }

  place(): Place {
    return {
      directory: this.#top,
      name: this.#last,
      parents: [...this.#names],
      mustBeDirectory: this.#mustBeDirectory,
      done: () => this.done(),
    };
  }

  done(): void {
    for (const fd of this.#opened.splice(0)) at.close(fd);
  }

  /** 0 or -errno. */
  run(path: string, follow: boolean): number {
    const rest = path.split('/').reverse();
    while (rest.length > 0) {
      const name = rest.pop() as string;
      const isLast = rest.every((each) => each === '');
      if (name === '' || name === '.') {
        if (rest.length === 0) this.#mustBeDirectory = true;
        continue;
      }
      if (name === '..') {
        const up = this.#up();
        if (up !== 0) return up;
        continue;
      }
      if (isLast && rest.length > 0) this.#mustBeDirectory = true;
      const result = this.#enter(name, isLast, follow || rest.length > 0, rest);
      if (result !== 0) return result;
      if (this.#last !== '') return 0;
    }
    return 0;
  }

  #up(): number {
    const fd = this.#opened.pop();
    if (fd === undefined) return -ERRNO.PERM;
    at.close(fd);
    this.#names.pop();
    return 0;
  }

  /** Goes into a directory or through a link; the last name otherwise becomes the walk's result. */
  #enter(name: string, isLast: boolean, follow: boolean, rest: string[]): number {
    if (isLast && !follow) {
      this.#last = name;
      return 0;
    }
    const fd = at.lookAt(this.#top, name);
    if (fd === -ERRNO.NOENT && isLast) {
      this.#last = name;
      return 0;
    }
    if (fd < 0) return fd;
    const stat = at.statOf(fd);
    if (typeof stat !== 'number' && stat.type === FILE_TYPE.directory && !isLast) {
      this.#opened.push(fd);
      this.#names.push(name);
      return 0;
    }
    at.close(fd);
    if (typeof stat === 'number') return stat;
    if (stat.type === FILE_TYPE.symbolicLink) return this.#through(name, isLast, rest);
    if (!isLast) return -ERRNO.NOTDIR;
    this.#last = name;
    return 0;
  }

  #through(name: string, isLast: boolean, rest: string[]): number {
    if (!this.#mayFollow) return -ERRNO.NOTDIR;
    const target = at.readlinkAt(this.#top, name);
    if (target === -ERRNO.INVAL || target === -ERRNO.NOENT) {
      // It is no link any more: look again.
      if (++this.#races > RACES_MAX) return -ERRNO.LOOP;
      rest.push(name);
      return 0;
    }
    if (typeof target === 'number') return target;
    if (++this.#links > LINK_DEPTH_MAX) return -ERRNO.LOOP;
    if (target.startsWith('/')) return -ERRNO.PERM;
    if (isLast) while (rest.length > 0) rest.pop();
    if (isLast && this.#mustBeDirectory) rest.push('');
    rest.push(...target.split('/').reverse());
    return rest.length > 4 * PATH_MAX_BYTES ? -ERRNO.NAMETOOLONG : 0;
  }
}
