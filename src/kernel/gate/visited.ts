/**
 * Who is inside of a domain, and who waits to be: what the gates to it ask, of the moment. Part of it is the domain's line on the
 * switchboard (boards.ts), which lets an activation in by the short way without telling anybody; then `unnoted` is 1.
 */
import type { Activation } from './activations.ts';
import { DEAD_LINE, LINE, STATE_BIT } from './board-code.ts';
import type { Boards } from './boards.ts';

export class Visited {
  /** Where the switchboard has it. */
  line: number;
  /** Which activation is inside of it, null where they are several. */
  occupant: Activation | null = null;
  /** Those that wait to enter, first come first. */
  waiters: Activation[] = [];
  /** It ran since the last cut, so saved state is stale. */
  ran = false;
  readonly #boards: Boards;
  #visits = 0;
  #nativeFrames = 0;

  constructor(boards: Boards) {
    this.#boards = boards;
    this.line = boards.openDomain(this);
  }

  get #bits(): number {
    return this.#boards.get(this.line + LINE.state);
  }
  set #bits(value: number) {
    this.#boards.set(this.line + LINE.state, value);
  }
  /** 1 where an activation is inside that came by the short way, and only the switchboard knows; else 0. */
  get unnoted(): number {
    return this.#bits & STATE_BIT.inside;
  }
  /**
   * Its gates may be entered by the short way: it can run, nobody is inside or waits to be. What makes that untrue clears
   * it; the long way sets it again.
   */
  get open(): boolean {
    return this.#bits === 0;
  }
  set open(value: boolean) {
    const bits = this.#bits & ~STATE_BIT.shut;
    this.#bits = value ? bits : bits | STATE_BIT.shut;
  }
  /** How often activations are inside of it. */
  get visits(): number {
    return this.#visits + this.unnoted;
  }
  set visits(value: number) {
    this.#visits = value - this.unnoted;
  }
  /**
   * So often its code is on the native stack, where it may hold addresses: its region and memories stay where they are
   * (limits may grow). Counted by whoever calls into the instance.
   */
  get nativeFrames(): number {
    return this.#nativeFrames + this.unnoted;
  }
  set nativeFrames(value: number) {
    this.#nativeFrames = value - this.unnoted;
  }
  /** Who came in by the short way does not leave by it: from now on that is counted here. */
  noteInside(): void {
    const { visits, nativeFrames } = this;
    this.#bits = STATE_BIT.shut;
    [this.visits, this.nativeFrames] = [visits, nativeFrames];
  }
  /** The domain is removed: its line may be another's now. */
  leaveBoard(): void {
    this.#boards.closeDomain(this.line);
    this.line = DEAD_LINE;
  }
  /** Who came in by the short way has left. */
  leftByShort(): void {
    this.#bits &= ~STATE_BIT.inside;
    this.open = this.ran && this.visits === 0 && this.waiters.length === 0;
  }
}
