/**
 * The standard input of one domain: its state in the space (which file and where in it, or the inbox), and the stream
 * object programs read. See input.ts for what it is fed from.
 *
 * A program whose input nobody has given yet waits for it; `end()` is for those who will never get any.
 */
import * as fs from 'node:fs';
import { ERRNO } from '../abi/errno.ts';
import { INBOX_MAX_BYTES } from '../base/limits.ts';
import { ByteQueue, QUEUE_BYTES } from '../kernel/outbox.ts';
import type { Block } from '../kernel/outbox-memory.ts';
import { type Readiness, type StreamObject, type Wake, WOULD_BLOCK } from '../kernel/ports.ts';
import { errnoOf } from './errno.ts';
import { type InputFlow, type InputSource, openInputFile } from './input.ts';

const FIELD = {
  mode: 0,
  ended: 4,
  device: 8,
  inode: 16,
  position: 24,
  path: 32,
  pathBytes: 40,
  inbox: 48,
} as const;
export const STDIN_RECORD_BYTES = FIELD.inbox + QUEUE_BYTES;
/** The other mode, 0, is the inbox. */
const FILE = 1;

export class StandardInput implements StreamObject {
  readonly kind = 'stream';
  readonly #record: Block;
  readonly #base: number;
  readonly #inbox: ByteQueue;
  readonly #wake: Wake;
  readonly #waiting = new Set<number>();
  #flow: InputFlow | undefined;
  #fd = -1;
  /** What did not fit into the inbox; nothing more comes before it does. */
  #rest: Uint8Array[] = [];
  #endAfterRest = false;

  constructor(record: Block, base: number, wake: Wake) {
    this.#record = record;
    this.#base = base;
    this.#wake = wake;
    this.#inbox = new ByteQueue(record, base + FIELD.inbox, INBOX_MAX_BYTES);
  }

  get terminal(): boolean {
    return this.#flow?.terminal ?? false;
  }

  /** Someone feeds it now, or a file does. */
  get attached(): boolean {
    return this.#flow !== undefined || this.#mode === FILE;
  }

  /** Feeds the domain from a source. One that reads a file goes on reading that. False where that is so. */
  attach(source: InputSource): boolean {
    if (this.#mode === FILE || this.#ended) {
      if (source.kind === 'flow') source.close();
      return false;
    }
    this.detach();
    if (source.kind === 'file') return this.#setFile(source);
    this.#flow = source;
    source.start(
      (bytes) => this.#feed(source, bytes),
      () => this.#feedEnd(source),
    );
    return true;
  }

  /** Takes the source away. The domain waits for the next. */
  detach(): void {
    this.#flow?.close();
    this.#flow = undefined;
    this.#rest = [];
    this.#endAfterRest = false;
  }

  /** No more bytes will ever come. */
  end(): void {
    if (this.#ended || this.#mode === FILE) return;
    this.#record.setU32(this.#base + FIELD.ended, 1);
    this.#wakeAll();
  }

  read(into: Uint8Array): number {
    if (into.length === 0) return 0;
    if (this.#mode === FILE) return this.#readFile(into);
    if (this.#inbox.length === 0) this.#refill();
    const count = Math.min(into.length, this.#inbox.length);
    if (count > 0) {
      into.set(this.#inbox.copy(this.#inbox.head, count));
      this.#inbox.drop(this.#inbox.head + count);
      this.#refill();
      return count;
    }
    return this.#ended ? 0 : WOULD_BLOCK;
  }

  write(): number {
    return -ERRNO.BADF;
  }

  ready(): Readiness {
    if (this.#mode === FILE) {
      const bytes = Math.max(0, this.#fileSize() - this.#position);
      return { readable: true, writable: false, bytes, hangup: false };
    }
    const bytes = this.#inbox.length;
    return { readable: bytes > 0 || this.#ended, writable: false, bytes, hangup: bytes === 0 && this.#ended };
  }

  subscribe(domain: number): void {
    this.#waiting.add(domain);
  }

  /** The domain is gone: its memory in the space is given back. */
  remove(): void {
    this.detach();
    if (this.#fd >= 0) fs.closeSync(this.#fd);
    this.#fd = -1;
    const path = this.#record.u64(this.#base + FIELD.path);
    if (path !== 0) this.#record.memory.release(path);
    this.#record.setU64(this.#base + FIELD.path, 0);
    this.#inbox.clear();
  }

  get #mode(): number {
    return this.#record.u32(this.#base + FIELD.mode);
  }

  get #ended(): boolean {
    return this.#record.u32(this.#base + FIELD.ended) !== 0;
  }

  get #position(): number {
    return this.#record.u64(this.#base + FIELD.position);
  }

  #setFile(source: Extract<InputSource, { kind: 'file' }>): boolean {
    const path = Buffer.from(source.path);
    const block = this.#record.memory.allocate(Math.max(1, path.length));
    if (block === 0) return false;
    this.#record.memory.bytes().set(path, block);
    this.#record.memory.mark(block, path.length);
    this.#record.setU64(this.#base + FIELD.path, block);
    this.#record.setU32(this.#base + FIELD.pathBytes, path.length);
    this.#record.setBig(this.#base + FIELD.device, source.device);
    this.#record.setBig(this.#base + FIELD.inode, source.inode);
    this.#record.setU64(this.#base + FIELD.position, source.offset);
    this.#record.setU32(this.#base + FIELD.mode, FILE);
    this.#wakeAll();
    return true;
  }

  #open(): number {
    if (this.#fd >= 0) return this.#fd;
    const at = this.#record.u64(this.#base + FIELD.path);
    const bytes = this.#record.u32(this.#base + FIELD.pathBytes);
    const path = Buffer.from(this.#record.memory.bytes().slice(at, at + bytes)).toString();
    const device = this.#record.big(this.#base + FIELD.device);
    this.#fd = openInputFile({ device, inode: this.#record.big(this.#base + FIELD.inode), path });
    return this.#fd;
  }

  #readFile(into: Uint8Array): number {
    const fd = this.#open();
    if (fd < 0) return -ERRNO.STALE;
    const bytes = new Uint8Array(Math.min(into.length, 1 << 20));
    try {
      const count = fs.readSync(fd, bytes, 0, bytes.length, this.#position);
      into.set(bytes.subarray(0, count));
      if (count > 0) this.#record.setU64(this.#base + FIELD.position, this.#position + count);
      return count;
    } catch (error) {
      return -errnoOf(error);
    }
  }

  #fileSize(): number {
    const fd = this.#open();
    return fd < 0 ? 0 : Number(fs.fstatSync(fd).size);
  }

  #feed(source: InputFlow, bytes: Uint8Array): void {
    if (source !== this.#flow || bytes.length === 0) return;
    this.#rest.push(bytes);
    this.#refill();
    if (this.#rest.length > 0) source.pause();
    this.#wakeAll();
  }

  #feedEnd(source: InputFlow): void {
    if (source !== this.#flow) return;
    this.#endAfterRest = true;
    this.#refill();
  }

  /** Moves what waits into the inbox. */
  #refill(): void {
    while (this.#rest.length > 0) {
      const first = this.#rest[0] as Uint8Array;
      const taken = this.#inbox.append(first);
      if (taken < first.length) {
        this.#rest[0] = first.subarray(taken);
        return;
      }
      this.#rest.shift();
    }
    if (this.#endAfterRest) {
      this.#flow = undefined;
      this.#endAfterRest = false;
      this.end();
    } else this.#flow?.resume();
  }

  #wakeAll(): void {
    const domains = [...this.#waiting];
    this.#waiting.clear();
    for (const domain of domains) this.#wake(domain);
  }
}
