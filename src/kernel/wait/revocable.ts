/**
 * Those who wait where they may lose the right to, in segments and at wait sets. Who waits does not look, and whoever revokes does not know
 * who waits: so they are looked through when the epoch has moved, some between each two slices.
 *
 * Why: RATIONALE.md#who-waits-is-handed-what-it-waits-for
 */
import { LOOK_AGAIN_MOST, LOOK_AGAIN_RATIO } from '../../base/limits.ts';
import type { Space } from '../../space/index.ts';
import { chargeTime } from '../account/time.ts';
import { epochOf } from '../capability/epoch.ts';
import type { Core } from '../core.ts';
import type { Domain } from '../domain.ts';
import type { Seat } from './places.ts';
import type { Waiter } from './queues.ts';

export class Revocable {
  readonly #core: Core;
  readonly #space: Space;
  readonly #left: (seat: Seat) => boolean;
  readonly #waiters = new Set<Waiter>();
  /** Since this epoch they are being looked through; so many are left of them, from here on. */
  #epoch = 0;
  #unseen = 0;
  #next = this.#waiters.values();
  #notBefore = 0n;
  /** The epoch after the last slice, and in whose slice it moved. */
  #seen = 0;
  #mover: Domain | null = null;

  /** @param left asks whether who sat there does not wait any more, and tells it why where it may not */
  constructor(core: Core, left: (seat: Seat) => boolean) {
    this.#core = core;
    this.#space = core.space;
    this.#left = left;
  }

  add(waiter: Waiter): void {
    this.#waiters.add(waiter);
  }
  delete(waiter: Waiter): void {
    this.#waiters.delete(waiter);
  }

  /** A slice of a domain is over: what it has revoked, it pays for that those who wait are looked through. */
  noteSlice(domain: Domain): void {
    if (this.#waiters.size === 0) return;
    const epoch = epochOf(this.#space);
    if (epoch !== this.#seen) this.#mover = domain;
    this.#seen = epoch;
  }

  /**
   * After revocations: tells those who wait where they may not any more. To be called between slices, and looks through some of them
   * at a time: so they are told at the next turn, and where many wait and much is revoked this takes a small part of the time.
   * Where nothing else is to be done, it goes on until somebody is told or all have been seen. Nothing is remembered of a revocation but
   * that the epoch moved. True where somebody goes on.
   */
  lookAgain(isIdle: boolean): boolean {
    const core = this.#core;
    if (this.nextLook === null) return false;
    const began = core.now();
    if (began < this.#notBefore && !(isIdle && this.#unseen > 0)) return false;
    const micros = core.powers.threadCpuMicros();
    if (this.#unseen === 0) {
      this.#epoch = epochOf(this.#space);
      this.#unseen = this.#waiters.size;
      this.#next = this.#waiters.values();
    }
    let told = this.#lookAtSome();
    while (isIdle && !told && this.#unseen > 0 && !core.flagRaised) told = this.#lookAtSome();
    if (began > this.#notBefore) this.#notBefore = began;
    this.#notBefore += (core.now() - began) * (LOOK_AGAIN_RATIO + 1n);
    if (this.#mover?.alive === true) chargeTime(this.#mover, core.powers.threadCpuMicros() - micros);
    return told;
  }
  #lookAtSome(): boolean {
    let told = false;
    for (let i = 0; i < LOOK_AGAIN_MOST && this.#unseen > 0; i++, this.#unseen--) {
      const { value: waiter } = this.#next.next();
      if (waiter === undefined) this.#unseen = 1;
      else if (waiter.seats.some((seat) => this.#left(seat))) told = true;
    }
    return told;
  }
  /** When `lookAgain` has something to do, in time of the space; null where it has nothing. */
  get nextLook(): bigint | null {
    if (this.#waiters.size === 0) return null;
    if (this.#unseen > 0) return 0n;
    return epochOf(this.#space) === this.#epoch ? null : this.#notBefore;
  }
}
