/** For tests only: what there is in a space, and what a program has of it. */
import assert from 'node:assert/strict';
import { FRAME_TABLE_ADDRESS } from '../../abi/layout.ts';
import { OWNER, type Space } from '../../space/index.ts';
import type { Domain } from '../domain.ts';
import type { TestSystem } from '../kernel.testing.ts';
import type { Found } from './clists.ts';

export const domainOf = (system: TestSystem, name: string): Domain =>
  system.kernel.core.peek(system.kernel.find(name)) as Domain;
export const found = (system: TestSystem, name: string, handle: number): Found => {
  const result = system.kernel.core.clists.find(domainOf(system, name), handle);
  assert.ok(typeof result !== 'number', `${name}: handle ${handle} gives ${result}`);
  return { ...result };
};
export const errno = (system: TestSystem, name: string, handle: number): unknown => {
  const result = system.kernel.core.clists.find(domainOf(system, name), handle);
  return typeof result === 'number' ? -result : 'good';
};

/** Frames of domains and segments; the heap keeps some that are empty. */
function framesBesideHeap({ frames, u32, frameCount }: Space): number {
  const table = u32.subarray(FRAME_TABLE_ADDRESS / 4, FRAME_TABLE_ADDRESS / 4 + frameCount);
  assert.ok(frames.usedCount > 0);
  return table.filter((owner) => [OWNER.domain, OWNER.segment].includes((owner & 0x7000_0000) as never))
    .length;
}

/** All that could be left behind. */
export function counts({ kernel, space }: TestSystem): unknown {
  const { capabilities, objects, rings, windows, waits, activations } = kernel.core;
  return {
    ...{ objects: objects.count, capabilities: capabilities.count, operations: rings.count },
    ...{ rings: rings.table.rings.size, tables: rings.tables.count, windows: windows.count },
    ...{ waits: waits?.count, sets: waits?.sets.count, activations: activations.count },
    ...{ frames: framesBesideHeap(space), segments: space.segments.count, blocks: space.heap.blockCount },
  };
}
