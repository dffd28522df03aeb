/**
 * For tests: the file tree as simply as it can be said, with JavaScript's own objects and strings. Results below zero
 * are errnos, as the tree's.
 */
import { ERRNO } from '../abi/errno.ts';

/** The same tree as JavaScript objects, as simply as it can be said. */
export interface ModelNode {
  type: 'file' | 'directory' | 'link';
  bytes: number[];
  target: string;
  entries: Map<string, ModelNode>;
  parent: ModelNode | null;
  links: number;
  id: number;
}
let ids = 0;
function modelNode(type: ModelNode['type'], parent: ModelNode | null): ModelNode {
  return { type, bytes: [], target: '', entries: new Map(), parent, links: 1, id: ids++ };
}

type ModelEnd = { directory: ModelNode; name: string; node: ModelNode | null; slash: boolean };

export class Model {
  root = modelNode('directory', null);

  /** @param follow 'never' | 'slash' | 'always' */
  resolve(path: string, follow: string, links = { left: 40 }, base = this.root): ModelEnd | number {
    if (path === '') return -ERRNO.NOENT;
    if (path.startsWith('/')) return -ERRNO.PERM;
    const slash = path.endsWith('/');
    const parts = path.split('/').filter((part) => part !== '');
    let at = base;
    for (let i = 0; i < parts.length; i++) {
      const part = parts[i] as string;
      const rest = parts.slice(i + 1).join('/');
      if (part === '.') continue;
      if (part === '..') {
        if (at === this.root) return -ERRNO.PERM;
        at = at.parent as ModelNode;
        continue;
      }
      const last = rest === '';
      const node = at.entries.get(part) ?? null;
      if (node === null) return last ? { directory: at, name: part, node, slash } : -ERRNO.NOENT;
      if (node.type === 'link' && (!last || follow === 'always' || (slash && follow === 'slash'))) {
        if (links.left-- === 0) return -ERRNO.LOOP;
        const joined = last ? node.target + (slash ? '/' : '') : `${node.target}/${rest}${slash ? '/' : ''}`;
        return this.resolve(joined, follow, links, at);
      }
      if (last) return { directory: at, name: part, node, slash };
      if (node.type !== 'directory') return -ERRNO.NOTDIR;
      at = node;
    }
    return { directory: at, name: '', node: at, slash: true };
  }

  existing(path: string, follow: string): ModelNode | number {
    const end = this.resolve(path, follow);
    if (typeof end === 'number') return end;
    if (end.node === null) return -ERRNO.NOENT;
    return end.slash && end.node.type !== 'directory' ? -ERRNO.NOTDIR : end.node;
  }

  last(path: string, dots: number): ModelEnd | number {
    const end = this.resolve(path, 'never');
    return typeof end !== 'number' && end.name === '' ? dots : end;
  }

  create(path: string, exclusive: boolean): ModelNode | number {
    const end = this.resolve(path, exclusive ? 'never' : 'always');
    if (typeof end === 'number') return end;
    if (end.node === null) {
      if (end.slash) return -ERRNO.ISDIR;
      const node = modelNode('file', null);
      end.directory.entries.set(end.name, node);
      return node;
    }
    if (exclusive) return -ERRNO.EXIST;
    if (end.node.type === 'directory') return -ERRNO.ISDIR;
    if (end.node.type === 'link') return -ERRNO.LOOP;
    return end.slash ? -ERRNO.NOTDIR : end.node;
  }

  mkdir(path: string): number {
    const end = this.last(path, -ERRNO.EXIST);
    if (typeof end === 'number') return end;
    if (end.node !== null) return -ERRNO.EXIST;
    end.directory.entries.set(end.name, modelNode('directory', end.directory));
    return 0;
  }

  rmdir(path: string): number {
    const end = this.last(path, -ERRNO.INVAL);
    if (typeof end === 'number') return end;
    if (end.node === null) return -ERRNO.NOENT;
    if (end.node.type !== 'directory') return -ERRNO.NOTDIR;
    if (end.node.entries.size > 0) return -ERRNO.NOTEMPTY;
    end.directory.entries.delete(end.name);
    return 0;
  }

  unlink(path: string): number {
    const end = this.last(path, -ERRNO.ISDIR);
    if (typeof end === 'number') return end;
    if (end.node === null) return -ERRNO.NOENT;
    if (end.node.type === 'directory') return -ERRNO.ISDIR;
    if (end.slash) return -ERRNO.NOTDIR;
    end.directory.entries.delete(end.name);
    end.node.links--;
    return 0;
  }

  link(path: string, to: string): number {
    const node = this.existing(path, 'slash');
    if (typeof node === 'number') return node;
    const end = this.last(to, -ERRNO.EXIST);
    if (typeof end === 'number') return end;
    if (end.node !== null) return -ERRNO.EXIST;
    if (end.slash) return -ERRNO.NOENT;
    if (node.type === 'directory') return -ERRNO.PERM;
    end.directory.entries.set(end.name, node);
    node.links++;
    return 0;
  }

  symlink(target: string, path: string): number {
    if (target === '') return -ERRNO.NOENT;
    if (target.startsWith('/')) return -ERRNO.PERM;
    const end = this.last(path, -ERRNO.EXIST);
    if (typeof end === 'number') return end;
    if (end.node !== null) return -ERRNO.EXIST;
    if (end.slash) return -ERRNO.NOENT;
    const node = modelNode('link', null);
    node.target = target;
    end.directory.entries.set(end.name, node);
    return 0;
  }

  rename(path: string, toPath: string): number {
    const from = this.last(path, -ERRNO.BUSY);
    if (typeof from === 'number') return from;
    const to = this.last(toPath, -ERRNO.BUSY);
    if (typeof to === 'number') return to;
    const node = from.node;
    if (node === null) return -ERRNO.NOENT;
    const isDirectory = node.type === 'directory';
    if ((from.slash || to.slash) && !isDirectory) return -ERRNO.NOTDIR;
    if (isDirectory)
      for (let at: ModelNode | null = to.directory; at !== null; at = at.parent)
        if (at === node) return -ERRNO.INVAL;
    if (to.node === node) return 0;
    if (to.node !== null) {
      if (!isDirectory && to.node.type === 'directory') return -ERRNO.ISDIR;
      if (isDirectory && to.node.type !== 'directory') return -ERRNO.NOTDIR;
      if (isDirectory && to.node.entries.size > 0) return -ERRNO.NOTEMPTY;
      to.node.links--;
    }
    from.directory.entries.delete(from.name);
    to.directory.entries.set(to.name, node);
    if (isDirectory) node.parent = to.directory;
    return 0;
  }
}
