/**
 * Those who wait where they may lose the right to, in segments and at wait sets. Who waits does not look, and whoever revokes does not know
 * who waits: so they are looked through when the epoch has moved, some between each two slices. And places where something was held
 * back while their segment was frozen.
 *
 * Why: RATIONALE.md#who-waits-is-handed-what-it-waits-for
 */
import { ERRNO } from '../../abi/errno.ts';
import { LOOK_AGAIN_MOST, LOOK_AGAIN_RATIO } from '../../base/limits.ts';
import type { Space } from '../../space/index.ts';
import { chargeTime } from '../account/time.ts';
import { epochOf } from '../capability/epoch.ts';
import type { Core } from '../core.ts';
import type { Domain } from '../domain.ts';
import type { Place, Places, Seat } from './places.ts';
import type { Waiter } from './queues.ts';

export interface Looking {
  /** Whether who sat there does not wait any more; who may not is told why. */
  left(seat: Seat): boolean;
  /** Words of a place may be changed again. */
  thawed(place: Place): void;
}

export class Revocable {
  readonly #core: Core;
  readonly #space: Space;
  readonly #places: Places;
  readonly #looking: Looking;
  readonly #waiters = new Set<Waiter>();
  /** Since this epoch they are being looked through; so many are left of them, from here on. */
  #epoch = 0;
  #unseen = 0;
  #unseenHeld = 0;
  #next = this.#waiters.values();
  #notBefore = 0n;
  /** The epoch after the last slice, and in whose slice it moved. */
  #seen = 0;
  #mover: Domain | null = null;

  constructor(core: Core, places: Places, looking: Looking) {
    this.#core = core;
    this.#space = core.space;
    this.#places = places;
    this.#looking = looking;
  }

  add(waiter: Waiter): void {
    this.#waiters.add(waiter);
  }
  delete(waiter: Waiter): void {
    this.#waiters.delete(waiter);
  }

  /** A handle was closed, by which something may have been frozen. */
  noteClosed(): void {
    if (this.#places.held.size > 0) this.#epoch = 0;
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
   * Where nothing else is to be done, it goes on until all have been seen or a safepoint is wanted. Nothing is remembered of a revocation but
   * that the epoch moved. True where somebody goes on.
   */
  lookAgain(isIdle: boolean): boolean {
    const core = this.#core;
    if (this.nextLook === null) return false;
    const began = core.now();
    if (began < this.#notBefore && !(isIdle && this.#isLooking)) return false;
    const micros = core.powers.threadCpuMicros();
    if (!this.#isLooking) {
      this.#epoch = epochOf(this.#space);
      this.#unseenHeld = this.#places.held.size;
      this.#unseen = this.#waiters.size;
      this.#next = this.#waiters.values();
    }
    let told = this.#lookAtSome();
    while (isIdle && this.#isLooking && !core.flagRaised) told = this.#lookAtSome() || told;
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
      else if (waiter.seats.some((seat) => this.#looking.left(seat))) told = true;
    }
    const { held } = this.#places;
    for (let i = 0; i < LOOK_AGAIN_MOST && this.#unseenHeld > 0; i++, this.#unseenHeld--) {
      const [place] = held;
      if (place === undefined) {
        this.#unseenHeld = 0;
        break;
      }
      held.delete(place);
      const bad = this.#places.mayChange(place.key);
      if (bad === -ERRNO.BUSY) held.add(place);
      if (bad === 0) this.#looking.thawed(place);
      if (bad === 0) told = true;
    }
    return told;
  }
  get #isLooking(): boolean {
    return this.#unseen > 0 || this.#unseenHeld > 0;
  }
  /** When `lookAgain` has something to do, in time of the space; null where it has nothing. */
  get nextLook(): bigint | null {
    if (this.#isLooking) return 0n;
    if (this.#waiters.size === 0 && this.#places.held.size === 0) return null;
    return epochOf(this.#space) === this.#epoch ? null : this.#notBefore;
  }
}
