/** For tests only: a file of the host whose bytes are computed, and which changes as a test says. */
import { ERRNO } from '../../abi/errno.ts';
import { FILE_TYPE, type HostFile, type HostStat } from '../ports.ts';

/** What is at an offset of every such file: no two frames are alike. */
export const byteAt = (offset: number): number => (offset * 31 + (offset >>> 16) * 7 + 1) & 255;

export class FakeFile implements HostFile {
  readonly kind = 'file';
  readonly id: number;
  bytes: number;
  modifiedNs = 1n;
  inode = 7n;
  /** -errno that reading gives. */
  failing = 0;
  reads = 0;
  closed = false;

  constructor(id: number, bytes: number) {
    this.id = id;
    this.bytes = bytes;
  }
  read(into: Uint8Array, offset: number): number {
    if (this.failing !== 0) return this.failing;
    this.reads++;
    const count = Math.max(0, Math.min(into.length, this.bytes - offset));
    for (let i = 0; i < count; i++) into[i] = byteAt(offset + i);
    return count;
  }
  size(): number {
    return this.bytes;
  }
  stat(): HostStat {
    const { inode, bytes: size, modifiedNs } = this;
    const times = { accessedNs: 0n, modifiedNs, changedNs: 0n };
    return { device: 1n, inode, type: FILE_TYPE.regularFile, links: 1n, size, ...times };
  }
  write = (): number => -ERRNO.NOTSUP;
  setSize = (): number => -ERRNO.NOTSUP;
  setTimes = (): number => -ERRNO.NOTSUP;
  sync = (): number => 0;
  close(): void {
    this.closed = true;
  }
}
