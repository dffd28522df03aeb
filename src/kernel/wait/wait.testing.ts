/**
 * For tests only: a memory that several domains share, at near addresses from WINDOW_BASE up, and programs that use
 * semaphores in it.
 */
import { ERRNO } from '../../abi/errno.ts';
import { SEMAPHORE } from '../../abi/semaphore.ts';
import { WINDOW_BASE } from '../../base/limits.ts';
import type { Caller } from '../caller.ts';
import type { Domain } from '../domain.ts';
import { type TestPersonality, TestSystem } from '../kernel.testing.ts';
import type { KernelOptions } from '../kernel.ts';
import type { Waits } from './queues.ts';

const SHARED_BYTES = 4096;
const USER_ROOT = 31;

export class SharedSystem extends TestSystem {
  /** Domains that may not use the shared memory, and what they get. */
  readonly refused = new Map<string, number>();

  constructor(options: Partial<KernelOptions> = {}) {
    super(options);
    const { objects, segments } = this.kernel.core;
    const segment = segments.createFree(SHARED_BYTES);
    objects.retain(segment);
    this.space.setRoot(USER_ROOT, segment);
    this.share();
  }
  get waits(): Waits {
    return this.kernel.core.waits as Waits;
  }
  /** Global address of a shared byte. */
  at(offset: number): number {
    return this.kernel.core.segments.address(this.space.root(USER_ROOT)) + offset;
  }
  count(offset: number): number {
    return this.space.view.getUint32(this.at(offset) + SEMAPHORE.count, true);
  }
  waiters(offset: number): number {
    return this.space.view.getUint32(this.at(offset) + SEMAPHORE.waiters, true);
  }
  setCount(offset: number, count: number): void {
    this.space.setU32(this.at(offset) + SEMAPHORE.count, count);
  }

  override crash(): void {
    super.crash();
    this.share();
  }

  /** Maps the shared memory, and gives programs what they do with its words until they can point at them. */
  share(): void {
    const locate = (domain: Domain, near: number, bytes: number) => {
      const offset = near - WINDOW_BASE;
      if (offset + bytes > SHARED_BYTES) return -ERRNO.FAULT;
      return this.refused.get(domain.name) ?? { segment: this.space.root(USER_ROOT), offset };
    };
    this.waits.places.mapped = {
      locate,
      claim: locate,
      address: (_segment: number, offset: number) => this.at(offset),
      mayChange: () => 0,
    };
    const word = (pointer: number): number => (this.at((pointer >>> 0) - WINDOW_BASE) + SEMAPHORE.count) / 4;
    const { calls }: TestPersonality = this.personality;
    /** Takes one without waiting: 1, or 0 where there is none. */
    calls.try = (_caller: Caller, pointer: number): number => {
      const { i32 } = this.space;
      if (i32[word(pointer)] === 0) return 0;
      Atomics.sub(i32, word(pointer), 1);
      this.space.mark(word(pointer) * 4, 4);
      return 1;
    };
    /** Gives one, and tells whether the kernel is to be told. */
    calls.give = (_caller: Caller, pointer: number): number => {
      Atomics.add(this.space.i32, word(pointer), 1);
      this.space.mark(word(pointer) * 4, 4);
      return this.space.view.getUint32(word(pointer) * 4 + SEMAPHORE.waiters, true);
    };
  }
}
