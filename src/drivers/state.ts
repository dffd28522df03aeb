/**
 * The root of what the drivers of files and sockets keep in the space: counters for ids that are never used twice, and
 * the heads of their lists. One for a space; all of them share it.
 */
import { assert } from '../base/assert.ts';
import { Block, type RootCell, type StateMemory } from '../kernel/outbox-memory.ts';

export const STATE = {
  nextObject: 0,
  nextEffect: 8,
  hostObjects: 16,
  effects: 24,
  netObjects: 32,
  held: 40,
  served: 48,
  opened: 56,
} as const;
const STATE_BYTES = 64;

export class DriverState {
  readonly memory: StateMemory;
  readonly root: Block;
  /** Whether the space held this state already: everything in it is durable then. */
  readonly recovered: boolean;

  constructor(memory: StateMemory, cell: RootCell) {
    this.memory = memory;
    this.recovered = cell.get() !== 0;
    if (!this.recovered) {
      const address = memory.allocate(STATE_BYTES);
      assert(address !== 0, 'a new space has room for the state of drivers');
      cell.set(address);
    }
    this.root = new Block(memory, cell.get());
  }

  nextObject(): number {
    return this.#next(STATE.nextObject);
  }

  nextEffect(): number {
    return this.#next(STATE.nextEffect);
  }

  /** The number `nextEffect` would give. */
  get effectTail(): number {
    return this.root.u64(STATE.nextEffect) + 1;
  }

  #next(offset: number): number {
    const number = this.root.u64(offset) + 1;
    this.root.setU64(offset, number);
    return number;
  }
}
