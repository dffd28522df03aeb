/**
 * What the objects of host folders share: the table of objects, the queue of effects, and the loop that takes effects
 * to the host when they may go. Programs' calls come in through directory.ts and file.ts; checkpoints through
 * folders.ts.
 */
import { ERRNO } from '../../abi/errno.ts';
import type { Meter } from '../../kernel/outbox-meter.ts';
import { type Operation, type Wake, WOULD_BLOCK } from '../../kernel/ports.ts';
import type { DriverState } from '../state.ts';
import { Applier, LATER, type ToSync } from './apply.ts';
import * as at from './at.ts';
import { APPLIED, DONE, EFFECT, type Effect, EffectQueue, type Intent, QUEUED } from './effects.ts';
import { CLOSED, FOLDER, type HostObject, ObjectTable, renamed } from './objects.ts';

/** For people: something on the host is in the way of what programs have done. */
export type HostProblem = (problem: { folder: string; path: string; errno: number; waits: boolean }) => void;

export interface CoreOptions {
  readonly state: DriverState;
  readonly wake: Wake;
  readonly meter: Meter;
  /** Wall time, ns. */
  readonly now: () => bigint;
  /** Whether effects reach the disk before they count as done; without, only a power failure tells the difference. */
  readonly powerSafe: boolean;
  readonly problem: HostProblem;
}

const RETRY_MS = 1000;

export class HostCore {
  readonly objects: ObjectTable;
  readonly now: () => bigint;
  readonly #o: CoreOptions;
  readonly #queue: EffectQueue;
  readonly #applier: Applier;
  /** Effects a former process may have applied. */
  readonly #doubtful = new Set<number>();
  /** Queued writes by file, in order: what reads must see. */
  readonly #overlay = new Map<string, Effect[]>();
  readonly #reported = new Set<number>();
  /** Files that have lost writes since they were last synced. */
  readonly #broken = new Set<number>();
  #syncing = 0;
  #retry: ReturnType<typeof setTimeout> | undefined;
  #closed = false;

  constructor(options: CoreOptions) {
    this.#o = options;
    this.now = options.now;
    this.objects = new ObjectTable(options.state);
    this.#queue = new EffectQueue(options.state, options.meter);
    this.#applier = new Applier(this.objects, options.powerSafe);
    if (options.state.recovered) this.#recover();
  }

  /**
   * Goes through with an effect over the calls of an operation: queues it at first, WOULD_BLOCK until it is done, and
   * then its result. `intent` is asked once; a number it gives is the answer.
   */
  through(op: Operation, intent: () => Intent | number): number {
    if (op.effect === 0) {
      const wanted = intent();
      if (typeof wanted === 'number') return wanted;
      const effect = this.#queue.add(wanted);
      if (effect === undefined) return this.#noRoom(op);
      op.effect = effect.number;
      return WOULD_BLOCK;
    }
    // A domain that was carried here from another space may name an effect of somebody else's.
    const known = this.#queue.get(op.effect);
    const effect = known?.domain === op.domain ? known : undefined;
    if (effect !== undefined && effect.state !== DONE) return WOULD_BLOCK;
    op.effect = 0;
    if (effect === undefined) return -ERRNO.IO;
    const { result } = effect;
    this.#take(effect);
    return result;
  }

  /** Queues bytes of a file: how many were taken, or WOULD_BLOCK. */
  write(op: Operation, object: HostObject, from: Uint8Array, offset: number): number {
    const intent: Intent = {
      kind: EFFECT.write,
      domain: op.domain,
      folder: object.folder,
      object: object.id,
      device: object.device,
      inode: object.inode,
      time1: this.now(),
    };
    const before = this.#queue.last;
    const taken = this.#queue.addWrite(intent, from, offset);
    const { last } = this.#queue;
    if (last !== before && last !== undefined) this.#see(last);
    return taken > 0 || from.length === 0 ? taken : this.#noRoom(op);
  }

  /** Something could not be queued: WOULD_BLOCK where there will be room, else why there will not. */
  #noRoom({ domain }: Operation): number {
    const { meter } = this.#o;
    const payer = meter.payer(domain);
    if (meter.isIdle(payer)) return this.#queue.roomFor(domain) > 0 ? -ERRNO.NOSPC : -ERRNO.DQUOT;
    meter.subscribe(payer, domain);
    return WOULD_BLOCK;
  }

  /** Writes to a file that have not reached the host, in order. */
  unseen(device: bigint, inode: bigint): readonly Effect[] {
    return this.#overlay.get(`${device}:${inode}`) ?? [];
  }

  /** Forgets a closed object once no effect needs it. */
  release(id: number): void {
    const object = this.objects.get(id);
    if (object === undefined || !object.closed) return;
    for (const effect of this.#queue.all()) {
      if (effect.object === id || effect.folder === id || effect.toFolder === id) return;
    }
    if (object.kind === FOLDER && this.objects.all().some((each) => each.folder === id && each !== object))
      return;
    const folder = object.kind === FOLDER ? 0 : object.folder;
    this.objects.remove(object);
    if (folder !== 0) this.release(folder);
  }

  close(object: HostObject): void {
    object.flags |= CLOSED;
    this.release(object.id);
  }

  /** A domain is gone: nobody asks for the results of what it began, and its folders go with it. */
  forget(domain: number): void {
    for (const effect of [...this.#queue.all()]) {
      if (effect.domain !== domain || effect.kind === EFFECT.write) continue;
      if (effect.state === DONE) this.#take(effect);
      else effect.orphan = true;
    }
    for (const object of this.objects.all()) {
      if (object.domain === domain && !object.closed) this.close(object);
    }
  }

  /** Domains that have objects or effects here. */
  domains(): Set<number> {
    const domains = new Set(this.objects.all().map((object) => object.domain));
    for (const effect of this.#queue.all()) if (!effect.orphan) domains.add(effect.domain);
    return domains;
  }

  cut(seq: number): void {
    this.#queue.cut(seq);
  }

  durable(seq: number): void {
    this.#queue.durable(seq);
    this.pump();
  }

  get waiting(): boolean {
    return this.#queue.waiting;
  }

  /** Nothing is on its way to the host. */
  get settled(): boolean {
    if (this.#syncing > 0) return false;
    for (const effect of this.#queue.all()) if (effect.state !== DONE) return false;
    return true;
  }

  async shut(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#retry);
    while (this.#syncing > 0) await new Promise((resolve) => setTimeout(resolve, 1));
    this.objects.closeAll();
  }

  /** Takes to the host what may go. */
  pump(): void {
    if (this.#closed) return;
    const sync: ToSync = { files: new Set(), directories: [] };
    const applied: Effect[] = [];
    const later = new Set<number>();
    for (const effect of this.#queue.all()) {
      if (!this.#queue.mayApply(effect)) break;
      if (effect.state !== QUEUED || later.has(effect.folder)) continue;
      const folder = this.objects.get(effect.folder);
      if (folder !== undefined && folder.fd < 0) this.#openFolders([folder]);
      const result = this.#applier.apply(effect, this.#doubtful.has(effect.number), sync);
      if (result === LATER) {
        later.add(effect.folder);
        this.#report(effect, folder !== undefined && folder.fd < 0 ? -folder.fd : ERRNO.NOSPC, true);
        continue;
      }
      effect.result = result;
      effect.state = APPLIED;
      this.#doubtful.delete(effect.number);
      if (effect.kind === EFFECT.write) this.#unsee(effect, result);
      applied.push(effect);
    }
    if (later.size > 0 && this.#retry === undefined) {
      this.#retry = setTimeout(() => {
        this.#retry = undefined;
        this.pump();
      }, RETRY_MS);
    }
    if (applied.length > 0) void this.#finish(applied, sync);
  }

  /** Waits for the disk, then ends the effects. */
  async #finish(applied: readonly Effect[], sync: ToSync): Promise<void> {
    this.#syncing++;
    const own = new Set(sync.directories);
    const files = [...sync.files].filter((fd) => !own.has(fd));
    const results = await Promise.all([
      ...files.map((fd) => at.syncFile(fd)),
      ...sync.directories.map((fd) => (sync.files.has(fd) ? at.syncFile(fd) : at.syncDirectory(fd))),
    ]);
    for (const fd of sync.directories) at.close(fd);
    this.#syncing--;
    const failed = results.find((result) => result === -ERRNO.IO || result === -ERRNO.NOSPC) ?? 0;
    for (const effect of applied) this.#end(effect, failed);
  }

  #end(effect: Effect, syncFailed: number): void {
    if (effect.kind === EFFECT.write || effect.orphan) {
      this.#take(effect);
      return;
    }
    if (effect.kind === EFFECT.sync && this.#broken.delete(effect.object)) effect.result = -ERRNO.IO;
    if (effect.kind === EFFECT.sync && effect.result === 0) effect.result = syncFailed;
    effect.state = DONE;
    this.#o.wake(effect.domain);
  }

  /** Takes an effect out, and what was kept only for it. Its block is gone then. */
  #take(effect: Effect): void {
    const ids = [effect.object, effect.folder, effect.toFolder];
    this.#queue.remove(effect);
    for (const id of ids) this.release(id);
  }

  #see(effect: Effect): void {
    const key = `${effect.device}:${effect.inode}`;
    const list = this.#overlay.get(key);
    if (list === undefined) this.#overlay.set(key, [effect]);
    else list.push(effect);
  }

  #unsee(effect: Effect, result: number): void {
    const key = `${effect.device}:${effect.inode}`;
    const list = (this.#overlay.get(key) ?? []).filter((each) => each !== effect);
    if (list.length === 0) this.#overlay.delete(key);
    else this.#overlay.set(key, list);
    if (result >= 0) return;
    this.#broken.add(effect.object);
    this.#report(effect, -result, false);
  }

  /** Once for a folder that has to be waited for; each time for what is lost. */
  #report(effect: Effect, errno: number, waits: boolean): void {
    if (waits && this.#reported.has(effect.folder)) return;
    if (waits) this.#reported.add(effect.folder);
    const path = effect.kind === EFFECT.write ? (this.objects.get(effect.object)?.inside ?? '') : effect.path;
    this.#o.problem({ folder: this.objects.get(effect.folder)?.path ?? '', path, errno, waits });
  }

  /** After a restart: every object is opened again, and every effect that was not done is in doubt. */
  #recover(): void {
    for (const effect of this.#queue.all()) {
      if (effect.state === DONE) continue;
      effect.state = QUEUED;
      this.#doubtful.add(effect.number);
      if (effect.kind === EFFECT.write) this.#see(effect);
    }
    this.#openFolders(this.objects.all().filter((object) => object.kind === FOLDER));
  }

  /** Opens granted folders again, where they are there, and what was open in them. */
  #openFolders(folders: readonly HostObject[]): void {
    for (const folder of folders) {
      const result = this.objects.openFolder(folder);
      if (result < 0) continue;
      this.#reported.delete(folder.id);
      for (const object of this.objects.all()) {
        if (object.kind !== FOLDER && object.folder === folder.id && object.fd < 0) {
          this.objects.reopen(object, this.#placesOf(object), result === 1);
        }
      }
    }
  }

  /** Where an object may be: where it was, or where the renames in doubt may have taken it. */
  #placesOf(object: HostObject): { folder: number; path: string }[] {
    const places = [{ folder: object.folder, path: object.path }];
    for (const effect of this.#queue.all()) {
      const last = places.at(-1);
      if (effect.kind !== EFFECT.rename || effect.state === DONE || last === undefined) continue;
      const path = effect.folder === last.folder ? renamed(last.path, effect.path, effect.toPath) : undefined;
      if (path !== undefined) places.push({ folder: effect.toFolder, path });
    }
    return places;
  }
}
