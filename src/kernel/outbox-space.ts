/** The kernel's heap and root slots as drivers see them (outbox-memory.ts). */
import { type Space, SpaceFullError } from '../space/index.ts';
import type { RootCell, StateMemory } from './outbox-memory.ts';

/** Drivers' memory in a space. */
export function stateMemory(space: Space): StateMemory {
  return {
    allocate: (bytes) => {
      try {
        return space.heap.alloc(bytes);
      } catch (error) {
        if (error instanceof SpaceFullError) return 0;
        throw error;
      }
    },
    release: (address) => space.heap.free(address),
    bytes: () => space.u8,
    view: () => space.view,
    mark: (address, length) => space.mark(address, length),
  };
}

/** One of the space's root slots (`ROOT.outbox`, `ROOT.ports`). */
export function rootCell(space: Space, slot: number): RootCell {
  return { get: () => space.root(slot), set: (address) => space.setRoot(slot, address) };
}
