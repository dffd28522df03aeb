/**
 * For tests only: a memory that several domains share, at near addresses from WINDOW_BASE up, and programs that use
 * semaphores in it.
 */
import assert from 'node:assert/strict';
import { ERRNO } from '../../abi/errno.ts';
import { SEMAPHORE } from '../../abi/semaphore.ts';
import { WINDOW_BASE } from '../../base/limits.ts';
import type { Prng } from '../../base/prng.ts';
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

export interface Life {
  readonly names: readonly string[];
  /** It goes on until these have ended. */
  readonly awaited: readonly string[];
  /** Those that may be killed. */
  readonly victims: ReadonlySet<string>;
  readonly stress: boolean;
  readonly life: number;
}

/** Turns, restarts, moves, suspensions, deaths and wakes in random order. Returns who was killed. */
export function liveOn(
  system: SharedSystem,
  prng: Prng,
  { names, awaited, victims, stress, life }: Life,
): Set<string> {
  const alive = (name: string): boolean => system.kernel.status(system.kernel.find(name)).state !== 'exited';
  let killed = new Set<string>();
  let kept = new Set<string>();
  for (let step = 0; awaited.some(alive); step++) {
    assert.ok(step < 60000, `life ${life}: they get on`);
    if (prng.chance(0.2)) system.powers.ns += BigInt(prng.below(5));
    system.kernel.run({ maxSlices: 1 + prng.below(4) });
    const act = prng.below(stress ? 150 : 40);
    const name = prng.pick(names);
    const id = system.kernel.find(name);
    if (act < 3) {
      system.checkpoint();
      kept = new Set(killed);
    } else if (act === 3) {
      system.crash();
      killed = new Set(kept);
    } else if (act === 4 && alive(name)) system.kernel.relocate(id);
    else if (act === 5 && system.kernel.stop(id)) {
      system.kernel.run({ maxSlices: prng.below(5) });
      system.kernel.resume(id);
    } else if (act === 6 && victims.has(name) && alive(name)) {
      system.kernel.kill(id);
      killed.add(name);
    } else if (act === 7) system.kernel.wake(id);
    else if (act === 8) system.kernel.compact();
  }
  return killed;
}
