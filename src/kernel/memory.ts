/**
 * Where a domain lies: its region, further memories and frame stack, how they grow and how they move.
 *
 * Region and memories move only while no code of the domain is on the native stack: its code may keep their addresses
 * over everything it calls. A memory.grow that cannot be done in place therefore unwinds; `growByMoving` moves the memory
 * when all is saved, and the instruction is begun again. The frame stack may move at any time: only the prelude knows
 * its address, and reads it anew after it asked for room.
 *
 * Why: RATIONALE.md#base-and-limit-in-the-code
 */
import { CONTROL } from '../abi/layout.ts';
import { assert } from '../base/assert.ts';
import { EnvironmentError } from '../base/errors.ts';
import {
  FRAME_BYTES,
  FRAME_STACK_FIRST_BYTES,
  FRAME_STACK_MAX_BYTES,
  MEMORY32_MAX_PAGES,
  MEMORY64_MAX_PAGES,
} from '../base/limits.ts';
import { OWNER, OWNER_VOLATILE, type Space, SpaceFullError } from '../space/index.ts';
import { type Domain, DomainRecord, FLAG } from './domain.ts';
import { innerStackOffset } from './zone.ts';

const R = DomainRecord.fields;

function ownerOf(domain: Domain): number {
  return (OWNER.domain | domain.id | (domain.hasFlag(FLAG.volatile) ? OWNER_VOLATILE : 0)) >>> 0;
}

/** Frames of control area in front of memory 0. */
const controlFrames = (domain: Domain): number => domain.controlBytes / FRAME_BYTES;

/** Most pages a memory may have: by its declaration, and by what near addresses can reach. */
function maxPages(domain: Domain, memory: number): number {
  const { is64, max } = domain.module.evidence.memories[memory] as { is64: boolean; max: number };
  const reach = is64 ? MEMORY64_MAX_PAGES : MEMORY32_MAX_PAGES;
  return max < 0 ? reach : Math.min(max, reach);
}

/**
 * Gives a new domain its extents, with `pages[i]` pages for memory i.
 * @throws EnvironmentError where that is more than it may have; SpaceFullError. Nothing is kept then.
 */
export function placeDomain(domain: Domain, pages: readonly number[]): void {
  const { space, at } = domain;
  const { memories } = domain.module.evidence;
  const bytes = pages.reduce((sum, n) => sum + n, 0) * FRAME_BYTES;
  const most = domain.settleMemory();
  if (bytes > most) {
    throw new EnvironmentError(
      'memory-limit',
      `${domain.name}: the program begins with ${mib(bytes)} of memory, its limit is ${mib(most)}`,
      'give it more with --memory',
    );
  }
  for (const [i, n] of pages.entries()) {
    if (n > maxPages(domain, i)) {
      throw new EnvironmentError(
        'memory-limit',
        `${domain.name}: memory ${i} has ${n} pages; ${maxPages(domain, i)} are the most it can have`,
      );
    }
  }
  try {
    R.memories.set(space, at, memories.length);
    if (memories.length > 1) R.more.set(space, at, space.heap.alloc(24 * (memories.length - 1)));
    const frames = controlFrames(domain) + (pages[0] ?? 0);
    domain.setExtent(0, {
      address: space.frames.alloc(frames, ownerOf(domain)),
      frames,
      pages: pages[0] ?? 0,
    });
    for (let i = 1; i < pages.length; i++) {
      const n = pages[i] as number;
      // An empty memory has no extent yet; its base is never used, since every access fails its check first.
      const address = n === 0 ? 0 : space.frames.alloc(n, ownerOf(domain));
      domain.setExtent(i, { address, frames: n, pages: n });
    }
  } catch (error) {
    releaseExtents(domain);
    throw error;
  }
  domain.settleMemory();
  domain.setStackPointer(domain.stackBase);
  writeControl(domain);
}

/**
 * Gives a domain whose memories are its own what it needs of a space: the control area. `pages[i]`: those that memory i
 * has.
 */
export function placeAlone(domain: Domain, pages: readonly number[]): void {
  const { space, at } = domain;
  R.memories.set(space, at, pages.length);
  if (pages.length > 1) R.more.set(space, at, space.heap.alloc(24 * (pages.length - 1)));
  const frames = controlFrames(domain);
  const address = space.frames.alloc(frames, ownerOf(domain));
  domain.setExtent(0, { address, frames, pages: pages[0] ?? 0 });
  for (let i = 1; i < pages.length; i++) domain.setExtent(i, { address: 0, frames: 0, pages: pages[i] ?? 0 });
  domain.setStackPointer(domain.stackBase);
  writeControl(domain);
}

/** Gives all extents back. */
export function releaseExtents(domain: Domain): void {
  const { space, at } = domain;
  const give = (address: number, frames: number): void => {
    if (address !== 0 && frames > 0) space.frames.free(address, frames);
  };
  if (R.more.get(space, at) !== 0) {
    for (let i = 1; i < domain.memoryCount; i++) {
      const { address, frames } = domain.extent(i);
      give(address, frames);
    }
    space.heap.free(R.more.get(space, at));
    R.more.set(space, at, 0);
  }
  give(domain.region, R.regionFrames.get(space, at));
  give(R.stack.get(space, at), R.stackFrames.get(space, at));
  domain.setExtent(0, { address: 0, frames: 0, pages: 0 });
  R.memories.set(space, at, 0);
  R.stack.set(space, at, 0);
  R.stackFrames.set(space, at, 0);
  domain.settleMemory();
}

/** Writes the control page from the record: absolute addresses of frame stack and window table. The stack pointer stays as it is. */
export function writeControl(domain: Domain): void {
  domain.space.setNumber(domain.region + CONTROL.stackBase, domain.stackBase);
  domain.space.setNumber(domain.region + CONTROL.stackLimit, domain.stackLimit);
  domain.space.setNumber(domain.region + CONTROL.windows, R.windows.get(domain.space, domain.at));
  domain.space.setNumber(domain.region + CONTROL.windowCount, R.windowCount.get(domain.space, domain.at));
}

/**
 * memory.grow: the size in pages before, or -1 where the program may not have more or there is no room. Null where the
 * memory must be moved for it: the caller unwinds the domain's code, then `growByMoving` is called, and the instruction is
 * begun again.
 */
export function growMemory(domain: Domain, memory: number, delta: number): number | null {
  const { growth } = domain;
  domain.growth = null;
  if (memory >= domain.memoryCount) return -1; // only code that no compiler made asks this
  const extent = domain.extent(memory);
  const pages = extent.pages + delta;
  if (pages > maxPages(domain, memory)) return -1;
  if (delta * FRAME_BYTES > domain.settleMemory()) {
    domain.setFlag(FLAG.memoryRefused, true);
    return -1;
  }
  if (delta === 0) return extent.pages;
  if (domain.own !== null) {
    if (domain.own[memory]?.grow(delta) !== true) return -1;
  } else if (!growInPlace(domain, memory, framesFor(domain, memory, pages))) {
    if (growth?.refused && growth.memory === memory && growth.pages === pages) return -1;
    domain.growth = { memory, pages, refused: false };
    return null;
  }
  domain.setExtent(memory, { ...domain.extent(memory), pages });
  domain.settleMemory();
  domain.instance?.resize(domain, memory);
  return extent.pages;
}

/**
 * Gives a memory of a domain none of whose code runs here as many pages as it has elsewhere. False where it may not have
 * them, or there is no room.
 */
export function growTo(domain: Domain, memory: number, pages: number): boolean {
  const delta = pages - domain.pagesOf(memory);
  if (delta <= 0) return delta === 0;
  const before = growMemory(domain, memory, delta);
  if (before !== null) return before >= 0;
  growByMoving(domain);
  return (growMemory(domain, memory, delta) ?? -1) >= 0;
}

/** Most pages each memory may have: by its declaration, what addresses can reach, and the domain's limit. */
export function mostPages(domain: Domain): number[] {
  const more = Math.floor(domain.settleMemory() / FRAME_BYTES);
  return domain.module.evidence.memories.map((_, i) =>
    Math.min(maxPages(domain, i), domain.pagesOf(i) + more),
  );
}

/** Frames of the extent of a memory with this many pages. */
const framesFor = (domain: Domain, memory: number, pages: number): number =>
  pages + (memory === 0 ? controlFrames(domain) : 0);

function growInPlace(domain: Domain, memory: number, needed: number): boolean {
  const extent = domain.extent(memory);
  if (needed <= extent.frames) return true;
  if (extent.address === 0 || !domain.space.frames.growInPlace(extent.address, extent.frames, needed)) {
    return false;
  }
  domain.setExtent(memory, { ...extent, frames: needed });
  return true;
}

/** Does what a memory.grow waits for that unwound, or notes that it cannot be done. */
export function growByMoving(domain: Domain): void {
  const { growth } = domain;
  if (growth === null || growth.refused) return;
  const needed = framesFor(domain, growth.memory, growth.pages);
  // Whoever had to move once will grow again: leave room, so that growing by pages does not copy for each.
  const roomy = needed + (needed >> 2);
  for (const frames of [roomy, needed]) {
    try {
      moveMemory(domain, growth.memory, frames);
      domain.growth = null;
      return;
    } catch (error) {
      if (!(error instanceof SpaceFullError)) throw error;
    }
  }
  growth.refused = true;
}

/** Moves one memory (memory 0 with its control area) to a new extent of at least its frames. */
function moveMemory(domain: Domain, memory: number, frames: number): void {
  const { space } = domain;
  const extent = domain.extent(memory);
  assert(domain.nativeFrames === 0, 'nothing moves that code on the native stack knows the address of');
  assert(frames >= extent.frames, 'a memory is moved to where it fits');
  const used = memory === 0 ? domain.stackPointer - domain.stackBase : 0;
  const to = space.frames.alloc(frames, ownerOf(domain));
  if (extent.frames > 0) {
    space.frames.copyInto(to, extent.address, extent.frames);
    space.frames.free(extent.address, extent.frames);
  }
  domain.setExtent(memory, { address: to, frames, pages: extent.pages });
  if (memory === 0) {
    domain.setStackPointer(domain.stackBase + used);
    writeControl(domain);
  }
  domain.instance?.place(domain);
}

/**
 * More room for saved frames: at least twice what there was. False when it has the most it may have, or there is no
 * room.
 */
export function growStack(domain: Domain, most = FRAME_STACK_MAX_BYTES): boolean {
  const { space, at } = domain;
  const size = domain.stackLimit - domain.stackBase;
  const wanted = Math.min(Math.max(2 * size, FRAME_STACK_FIRST_BYTES), most) / FRAME_BYTES;
  const frames = Math.ceil(wanted);
  if (frames * FRAME_BYTES <= size) return false;
  if (domain.hasOwnStack) {
    const have = R.stackFrames.get(space, at);
    if (space.frames.growInPlace(domain.stackBase, have, frames)) {
      R.stackFrames.set(space, at, frames);
      writeControl(domain);
      return true;
    }
  }
  try {
    moveStack(domain, frames);
    return true;
  } catch (error) {
    if (error instanceof SpaceFullError) return false;
    throw error;
  }
}

/** Moves the saved frames to an extent of their own with this many frames, or with 0 into the control area. */
function moveStack(domain: Domain, frames: number): void {
  const { space, at } = domain;
  const from = domain.stackBase;
  const used = domain.stackPointer - from;
  const own = R.stack.get(space, at);
  const ownFrames = R.stackFrames.get(space, at);
  const to = frames === 0 ? 0 : space.frames.alloc(frames, ownerOf(domain));
  R.stack.set(space, at, to);
  R.stackFrames.set(space, at, frames);
  assert(used <= domain.stackLimit - domain.stackBase, 'saved frames are moved to where they fit');
  space.copy(domain.stackBase, from, used);
  if (own !== 0) space.frames.free(own, ownFrames);
  else space.zero(from, used);
  domain.setStackPointer(domain.stackBase + used);
  writeControl(domain);
}

/** Gives back most of a frame stack that was deep once. */
export function trimStack(domain: Domain): void {
  if (!domain.hasOwnStack) return;
  const { space, at } = domain;
  const frames = R.stackFrames.get(space, at);
  const used = domain.stackPointer - domain.stackBase;
  if (2 * used <= domain.controlBytes - innerStackOffset(domain.module)) {
    moveStack(domain, 0);
    return;
  }
  const keep = Math.ceil((2 * used) / FRAME_BYTES);
  if (keep * 4 > frames) return;
  space.frames.free(domain.stackBase + keep * FRAME_BYTES, frames - keep);
  R.stackFrames.set(space, at, keep);
  writeControl(domain);
}

/**
 * Moves what the domain has to lower places where there are any, so that free frames come together. Returns the frames
 * moved. None of its code is on the native stack.
 */
export function compactDomain(domain: Domain): number {
  const { space, at } = domain;
  let moved = 0;
  for (let i = 0; i < Math.max(1, domain.memoryCount); i++) {
    const { address, frames } = domain.extent(i);
    if (frames === 0 || !space.frames.hasRoomBelow(address, frames)) continue;
    moveMemory(domain, i, frames);
    moved += frames;
  }
  const frames = R.stackFrames.get(space, at);
  if (domain.hasOwnStack && space.frames.hasRoomBelow(domain.stackBase, frames)) {
    moveStack(domain, frames);
    moved += frames;
  }
  return moved;
}

/**
 * Moves everything the domain has to other frames. None of its code is on the native stack.
 * @throws SpaceFullError with the domain whole, though parts may have moved.
 */
export function relocateDomain(domain: Domain): void {
  for (let i = 0; i < Math.max(1, domain.memoryCount); i++) {
    const { frames } = domain.extent(i);
    if (frames > 0) moveMemory(domain, i, frames);
  }
  if (domain.hasOwnStack) moveStack(domain, R.stackFrames.get(domain.space, domain.at));
}

/** For people. */
export function mib(bytes: number): string {
  return `${Math.round((bytes / 0x100000) * 10) / 10} MiB`;
}

/** Bytes of the space a domain holds, its records apart. */
export function framesOf(space: Space, domain: Domain): number {
  let frames = R.stackFrames.get(space, domain.at);
  for (let i = 0; i < Math.max(1, domain.memoryCount); i++) frames += domain.extent(i).frames;
  return frames * FRAME_BYTES;
}
