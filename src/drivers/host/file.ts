/** An open file of a host folder, as programs use it. Reads see what is still queued; see core.ts. */
import { ERRNO } from '../../abi/errno.ts';
import {
  FILE_TYPE,
  type HostFile,
  type HostStat,
  type HostTimes,
  type Operation,
} from '../../kernel/ports.ts';
import * as at from './at.ts';
import type { HostCore } from './core.ts';
import { EFFECT, type Intent, KEEP_TIME } from './effects.ts';
import { type HostObject, MAY_READ, MAY_WRITE } from './objects.ts';

const READ_MAX_BYTES = 1 << 20;

export class FileObject implements HostFile {
  readonly kind = 'file';
  readonly #core: HostCore;
  readonly #object: HostObject;

  constructor(core: HostCore, object: HostObject) {
    this.#core = core;
    this.#object = object;
  }

  get id(): number {
    return this.#object.id;
  }

  read(into: Uint8Array, offset: number): number {
    const { fd, flags, device, inode } = this.#object;
    if ((flags & MAY_READ) === 0) return -ERRNO.BADF;
    if (fd < 0) return -ERRNO.STALE;
    if (!Number.isSafeInteger(offset) || offset < 0) return -ERRNO.INVAL;
    const unseen = this.#core.unseen(device, inode);
    if (unseen.length === 0) return at.readAll(fd, into.subarray(0, READ_MAX_BYTES), offset);
    const bytes = new Uint8Array(Math.min(into.length, READ_MAX_BYTES));
    const count = at.readAll(fd, bytes, offset);
    if (count < 0) return count;
    let end = count;
    for (const write of unseen) {
      const from = Math.max(write.offset, offset);
      const to = Math.min(write.offset + write.length, offset + bytes.length);
      if (from >= to) continue;
      bytes.set(write.bytes.subarray(from - write.offset, to - write.offset), from - offset);
      end = Math.max(end, to - offset);
    }
    // A queued write beyond the end leaves zeros before it, as on the host later.
    const size = this.size();
    if (size > offset) end = Math.max(end, Math.min(size - offset, bytes.length));
    into.set(bytes.subarray(0, end));
    return end;
  }

  write(op: Operation, from: Uint8Array, offset: number): number {
    const refused = this.#mayChange();
    if (refused !== 0) return refused;
    if (!Number.isSafeInteger(offset) || offset < 0) return -ERRNO.INVAL;
    if (!Number.isSafeInteger(offset + from.length)) return -ERRNO.FBIG;
    return this.#core.write(op, this.#object, from, offset);
  }

  size(): number {
    const stat = this.stat();
    return typeof stat === 'number' ? stat : stat.size;
  }

  stat(): HostStat | number {
    const { fd } = this.#object;
    if (fd < 0) return -ERRNO.STALE;
    return withUnseen(this.#core, at.statOf(fd));
  }

  setSize(op: Operation, size: number): number {
    return this.#core.through(op, () => {
      const refused = this.#mayChange();
      if (refused !== 0) return refused;
      if (!Number.isSafeInteger(size) || size < 0) return -ERRNO.INVAL;
      return this.#intent(op, EFFECT.setSize, { offset: size });
    });
  }

  setTimes(op: Operation, times: HostTimes): number {
    return this.#core.through(op, () => {
      const { fd } = this.#object;
      if (fd < 0) return -ERRNO.STALE;
      const folder = this.#core.objects.get(this.#object.folder);
      if (folder === undefined || folder.flags & 1) return -ERRNO.ROFS;
      return this.#intent(op, EFFECT.setTimes, timesOf(times));
    });
  }

  sync(op: Operation): number {
    return this.#core.through(op, () => {
      if (this.#object.fd < 0) return -ERRNO.STALE;
      return this.#intent(op, EFFECT.sync, {});
    });
  }

  close(): void {
    this.#core.close(this.#object);
  }

  #mayChange(): number {
    const { fd, flags } = this.#object;
    if ((flags & MAY_WRITE) === 0) return -ERRNO.BADF;
    return fd < 0 ? -ERRNO.STALE : 0;
  }

  #intent(op: Operation, kind: number, more: Partial<Intent>): Intent {
    return { kind, domain: op.domain, folder: this.#object.folder, object: this.#object.id, ...more };
  }
}

export function timesOf(times: HostTimes): { time1: bigint; time2: bigint } {
  return { time1: times.accessedNs ?? KEEP_TIME, time2: times.modifiedNs ?? KEEP_TIME };
}

/** Attributes as they will be when what is queued for the file has reached it. */
export function withUnseen(core: HostCore, stat: at.FullStat | number): HostStat | number {
  if (typeof stat === 'number' || stat.type !== FILE_TYPE.regularFile) return stat;
  let { size, modifiedNs } = stat;
  for (const write of core.unseen(stat.device, stat.inode)) {
    size = Math.max(size, write.offset + write.length);
    if (write.time1 > modifiedNs) modifiedNs = write.time1;
  }
  return { ...stat, size, modifiedNs };
}
