/**
 * Lets out what an outbox holds, when it may leave, into the sinks of this process; and settles after a crash what had
 * got out already. The one place that decides about "never lost, never twice".
 *
 * A byte leaves once the checkpoint that holds it is durable. What is known of how far it got:
 * - A sink that is a regular file tells itself. At every cut an *anchor* goes into the space: this file (device,
 *   inode, path), its next byte at this offset, so many bytes of ours before it. After a crash the bytes that follow
 *   the anchor in the file are compared with those the outbox holds; what agrees is out. Exact. To be so, a new file
 *   takes nothing before a checkpoint with its anchor is durable, and bytes are dropped only once the file has them
 *   on disk.
 * - A pipe, terminal or client cannot be asked. The release log (outside the checkpoint) is told after each write: at
 *   least once, for what was written but not logged comes again; or before it: at most once.
 *
 * Bytes leave in the order they were written, over both destinations. `cut`, `durable` and `bind` come from the core.
 *
 * Why: RATIONALE.md#a-regular-file-tells-how-far-output-got
 */
import { ERRNO } from '../abi/errno.ts';
import { type Destination, type Outbox, type Piece, STDERR, STDOUT } from '../kernel/outbox.ts';
import type { Block } from '../kernel/outbox-memory.ts';
import type { FilePlace, Sink } from './sink.ts';

/** Side record of how far output got, beside the checkpoints: the store's, or none. Positions are counts of bytes. */
export interface ReleaseLog {
  get(key: string): number | undefined;
  /** Resolves when a crash of this process can no longer take it back. */
  set(key: string, position: number): Promise<void>;
}

/** A log that forgets: for volatile spaces and tests. */
export const NO_LOG: ReleaseLog = { get: () => undefined, set: () => Promise.resolve() };

/** What to do about bytes to a pipe or terminal of which nobody knows whether they are out. */
export type ReleasePolicy = 'at-least-once' | 'at-most-once';

export interface Sinks {
  readonly stdout: Sink | undefined;
  readonly stderr: Sink | undefined;
}

/** The size of the file an anchor names and up to `length` of its bytes from the anchor on, if it is still there. */
export type ReadPlace = (place: FilePlace, length: number) => { size: number; bytes: Uint8Array } | undefined;

export interface ReleaserOptions {
  readonly outbox: Outbox;
  /** Where anchors are kept: RELEASER_RECORD_BYTES at `base`. Without, files are treated as pipes are. */
  readonly record: Block | undefined;
  readonly base: number;
  /** Names this outbox in the release log. */
  readonly key: string;
  readonly log: ReleaseLog;
  readonly policy: ReleasePolicy;
  readonly readPlace: ReadPlace;
  /** Room was made, or a destination broke. */
  readonly changed: () => void;
  /** A sink refuses bytes (disk full); it is tried again. For people. */
  readonly problem?: ((destination: Destination, errno: number) => void) | undefined;
}

const ANCHOR = { mask: 0, device: 8, inode: 16, offset: 24, count: 32, path: 40, pathBytes: 48 } as const;
const ANCHOR_BYTES = 56;
export const RELEASER_RECORD_BYTES = 2 * ANCHOR_BYTES;
const PIECE_BYTES = 65536;
const RETRY_MS = 500;
const BOTH = [STDOUT, STDERR] as const;

export class Releaser {
  readonly #o: ReleaserOptions;
  #sinks: Sinks = { stdout: undefined, stderr: undefined };
  /** Bytes before this position are out (or given up). */
  #out: number;
  /** Bytes for each destination before #out, since the beginning. */
  #count: Record<Destination, number>;
  /** Bytes for each destination that a former process got out. */
  #known: Record<Destination, number>;
  #failed: Record<Destination, number> = { [STDOUT]: 0, [STDERR]: 0 };
  #settled: boolean;
  /** While false, bytes wait for a checkpoint that holds the new files' anchors: the one with number #gate. */
  #open = true;
  #gate = -1;
  #running = false;
  #again = false;
  #syncing = false;
  #generation = 0;
  #retry: ReturnType<typeof setTimeout> | undefined;

  constructor(options: ReleaserOptions) {
    this.#o = options;
    const { outbox } = options;
    this.#out = outbox.head;
    this.#count = { [STDOUT]: outbox.countBefore(STDOUT), [STDERR]: outbox.countBefore(STDERR) };
    this.#known = { ...this.#count };
    this.#settled = outbox.length === 0;
  }

  /** An errno where a destination takes no more bytes because its reader is gone, else 0. */
  failed(destination: Destination): number {
    return this.#failed[destination];
  }

  /** Nothing is on its way out. */
  get idle(): boolean {
    return this.#out === this.#o.outbox.tail && !this.#running && !this.#syncing;
  }

  /** True where a checkpoint would let bytes out. */
  get waiting(): boolean {
    const { outbox } = this.#o;
    if (this.#sinks.stdout === undefined && this.#sinks.stderr === undefined) return false;
    return outbox.tail > outbox.covered || (!this.#open && this.#gate < 0 && outbox.tail > this.#out);
  }

  /** Gives the outbox its sinks in this process; from then on bytes leave. The same sink may serve both. */
  bind(sinks: Sinks): void {
    this.#settle();
    this.#sinks = sinks;
    this.#generation++;
    this.#failed = { [STDOUT]: 0, [STDERR]: 0 };
    this.#open = !this.#files().length;
    this.#gate = -1;
    void this.#run();
  }

  /** Takes the sinks away; bytes stay. What is being written now may still get out, and counts when it does. */
  unbind(): void {
    this.#sinks = { stdout: undefined, stderr: undefined };
    this.#generation++;
    clearTimeout(this.#retry);
  }

  cut(seq: number): void {
    const files = this.#files();
    if (files.length > 0) {
      this.#writeAnchors(files);
      if (!this.#open && this.#gate < 0) this.#gate = seq;
    }
    this.#o.outbox.cut(seq);
  }

  durable(seq: number): void {
    this.#o.outbox.durable(seq);
    if (!this.#open && this.#gate >= 0 && seq >= this.#gate) this.#open = true;
    void this.#run();
  }

  async #run(): Promise<void> {
    this.#again = true;
    if (this.#running) return;
    this.#running = true;
    try {
      while (this.#again) {
        this.#again = false;
        while (this.#open && (await this.#step())) {
          if (this.#files().length === 0) this.#drop(this.#out);
        }
      }
    } finally {
      this.#running = false;
    }
    this.#dropWhenSafe();
  }

  /** Lets the next piece out; false when there is nothing to do now. */
  async #step(): Promise<boolean> {
    const { outbox } = this.#o;
    this.#follow();
    const piece = outbox.piece(this.#out, outbox.limit, PIECE_BYTES);
    if (piece === undefined) return false;
    const to = piece.destination;
    const skip = Math.min(piece.bytes.length, this.#known[to] - this.#count[to]);
    if (skip > 0) return this.#advance(piece, skip);
    if (this.#failed[to] !== 0) return this.#advance(piece, piece.bytes.length);
    const sink = to === STDOUT ? this.#sinks.stdout : this.#sinks.stderr;
    if (sink === undefined) return false;
    const generation = this.#generation;
    const key = `${this.#o.key}:${to}`;
    const logged = sink.place === undefined;
    if (logged && this.#o.policy === 'at-most-once') {
      await this.#o.log.set(key, this.#count[to] + piece.bytes.length);
      if (generation !== this.#generation) return true;
    }
    let result = sink.write(piece.bytes);
    if (typeof result !== 'number') result = await result;
    if (result >= 0) {
      this.#advance(piece, result);
      if (logged && this.#o.policy === 'at-least-once') void this.#o.log.set(key, this.#count[to]);
      return true;
    }
    if (generation !== this.#generation) return true;
    return this.#refused(to, -result);
  }

  #refused(to: Destination, errno: number): boolean {
    if (errno === ERRNO.PIPE || errno === ERRNO.CONNRESET) {
      this.#failed[to] = ERRNO.PIPE;
      this.#o.changed();
      return true;
    }
    this.#o.problem?.(to, errno);
    clearTimeout(this.#retry);
    this.#retry = setTimeout(() => void this.#run(), RETRY_MS);
    this.#retry.unref();
    return false;
  }

  #advance(piece: Piece, bytes: number): true {
    this.#follow();
    if (piece.position !== this.#out) return true;
    this.#out += bytes;
    this.#count[piece.destination] += bytes;
    return true;
  }

  /** Somebody else may have taken bytes out of the outbox. */
  #follow(): void {
    const { outbox } = this.#o;
    if (this.#out >= outbox.head) return;
    this.#out = outbox.head;
    this.#count = { [STDOUT]: outbox.countBefore(STDOUT), [STDERR]: outbox.countBefore(STDERR) };
  }

  #drop(position: number): void {
    if (position <= this.#o.outbox.head) return;
    this.#o.outbox.drop(position);
    this.#o.changed();
  }

  /** Drops what is out once the files have it on disk: an anchor may say so to a later process. */
  #dropWhenSafe(): void {
    const position = this.#out;
    if (this.#syncing || position <= this.#o.outbox.head) return;
    const syncs = this.#files().map((each) => each.sink.sync?.());
    this.#syncing = true;
    void Promise.all(syncs).then(() => {
      this.#syncing = false;
      this.#drop(position);
      if (!this.#running) this.#dropWhenSafe();
    });
  }

  /** The regular files among the sinks, each with the destinations it serves. */
  #files(): { sink: Sink; destinations: Destination[] }[] {
    if (this.#o.record === undefined) return [];
    const { stdout, stderr } = this.#sinks;
    const files: { sink: Sink; destinations: Destination[] }[] = [];
    if (stdout?.place !== undefined) files.push({ sink: stdout, destinations: [STDOUT] });
    if (stderr?.place !== undefined) {
      const same = files.find((each) => each.sink === stderr);
      if (same !== undefined) same.destinations.push(STDERR);
      else files.push({ sink: stderr, destinations: [STDERR] });
    }
    return files;
  }

  #writeAnchors(files: { sink: Sink; destinations: Destination[] }[]): void {
    const { record, base } = this.#o;
    if (record === undefined) return;
    // What a former process got out counts even before it has been skipped here.
    const out = { ...this.#count };
    for (const to of BOTH) out[to] = Math.max(out[to], this.#known[to]);
    for (let index = 0; index < 2; index++) {
      const at = base + index * ANCHOR_BYTES;
      const file = files[index];
      const place = file?.sink.place?.();
      if (file === undefined || place === undefined) {
        if (record.u32(at + ANCHOR.mask) !== 0) record.setU32(at + ANCHOR.mask, 0);
        continue;
      }
      if (!this.#setPath(at, place.path)) continue;
      record.setU32(
        at + ANCHOR.mask,
        file.destinations.reduce<number>((mask, to) => mask | to, 0),
      );
      record.setBig(at + ANCHOR.device, place.device);
      record.setBig(at + ANCHOR.inode, place.inode);
      record.setU64(at + ANCHOR.offset, place.offset);
      record.setU64(at + ANCHOR.count, sum(out, file.destinations));
    }
  }

  /** False where the space has no room for the path: then the anchor stays the old one. */
  #setPath(at: number, path: string): boolean {
    const { record } = this.#o;
    if (record === undefined) return false;
    const bytes = Buffer.from(path);
    const old = record.u64(at + ANCHOR.path);
    const oldBytes =
      old === 0 ? undefined : record.memory.bytes().slice(old, old + record.u32(at + ANCHOR.pathBytes));
    if (oldBytes !== undefined && Buffer.compare(bytes, oldBytes) === 0) return true;
    const block = record.memory.allocate(Math.max(bytes.length, 1));
    if (block === 0) return false;
    record.memory.bytes().set(bytes, block);
    record.memory.mark(block, bytes.length);
    if (old !== 0) record.memory.release(old);
    record.setU64(at + ANCHOR.path, block);
    record.setU32(at + ANCHOR.pathBytes, bytes.length);
    return true;
  }

  /** Once, before anything leaves: what had a former process let out of what the outbox still holds? */
  #settle(): void {
    if (this.#settled) return;
    this.#settled = true;
    for (const to of BOTH) {
      this.#known[to] = Math.max(this.#known[to], this.#o.log.get(`${this.#o.key}:${to}`) ?? 0);
    }
    for (let index = 0; index < 2; index++) this.#settleFile(this.#o.base + index * ANCHOR_BYTES);
  }

  #settleFile(at: number): void {
    const { record } = this.#o;
    const mask = record?.u32(at + ANCHOR.mask) ?? 0;
    if (record === undefined || mask === 0) return;
    const path = record.memory
      .bytes()
      .slice(record.u64(at + ANCHOR.path), record.u64(at + ANCHOR.path) + record.u32(at + ANCHOR.pathBytes));
    const place: FilePlace = {
      device: record.big(at + ANCHOR.device),
      inode: record.big(at + ANCHOR.inode),
      path: Buffer.from(path).toString(),
      offset: record.u64(at + ANCHOR.offset),
    };
    const destinations = BOTH.filter((to) => (mask & to) !== 0);
    const first = sum(this.#count, destinations);
    const anchored = record.u64(at + ANCHOR.count);
    const held = this.#heldFor(destinations);
    // Bytes of ours in the file since the anchor; should the file be shorter than it was then, so many fewer.
    const found = this.#o.readPlace(place, held.length);
    if (found === undefined) return;
    const missing = Math.max(0, place.offset - found.size);
    const more = commonPrefix(found.bytes, held.subarray(Math.max(0, anchored - first)));
    const out = missing > 0 ? Math.max(first, anchored - missing) : anchored + more;
    this.#noteKnown(destinations, out - first);
  }

  /** The first `bytes` bytes for these destinations that the outbox holds are out. */
  #noteKnown(destinations: readonly Destination[], bytes: number): void {
    const { outbox } = this.#o;
    const known = { ...this.#count };
    for (let at = outbox.head, left = bytes; left > 0; ) {
      const piece = outbox.piece(at, outbox.tail, Number.MAX_SAFE_INTEGER);
      if (piece === undefined) break;
      at += piece.bytes.length;
      if (!destinations.includes(piece.destination)) continue;
      const part = Math.min(left, piece.bytes.length);
      known[piece.destination] += part;
      left -= part;
    }
    for (const to of destinations) this.#known[to] = Math.max(this.#known[to], known[to]);
  }

  #heldFor(destinations: readonly Destination[]): Uint8Array {
    const { outbox } = this.#o;
    const parts: Uint8Array[] = [];
    for (let at = outbox.head; ; ) {
      const piece = outbox.piece(at, outbox.tail, Number.MAX_SAFE_INTEGER);
      if (piece === undefined) return Buffer.concat(parts);
      at += piece.bytes.length;
      if (destinations.includes(piece.destination)) parts.push(piece.bytes);
    }
  }
}

function sum(counts: Record<Destination, number>, destinations: readonly Destination[]): number {
  return destinations.reduce((total, to) => total + counts[to], 0);
}

function commonPrefix(a: Uint8Array, b: Uint8Array): number {
  const end = Math.min(a.length, b.length);
  let at = 0;
  while (at < end && a[at] === b[at]) at++;
  return at;
}
