/**
 * One memory of a program that is alone in its process, and what of it has changed since the kernel that the program
 * belongs to last had it whole: pages that rewritten stores have marked (abi/layout.ts, `ownMarks`) and whose hash is
 * another.
 */
import type { PageRun } from '../abi/channel.ts';
import type { MemoryEvidence } from '../abi/evidence.ts';
import { OWN_MARKS_BYTES, ownMarks } from '../abi/layout.ts';
import { assert } from '../base/assert.ts';
import type { PageHasher } from '../base/hash.ts';
import { FRAME_BYTES, PAGE_BYTES } from '../base/limits.ts';
import type { Space } from '../space/index.ts';

/** Pages of change in a WebAssembly page. */
const PAGES_A_FRAME = FRAME_BYTES / PAGE_BYTES;

export class OwnMemory {
  readonly memory: WebAssembly.Memory;
  readonly #index: number;
  readonly #is64: boolean;
  readonly #space: Space;
  readonly #hasher: PageHasher;
  /** Hashes of the pages as the kernel has them, two words each; zero for a page of zeros. */
  #hashes = new Uint32Array(0);

  /** @throws RangeError where the process cannot have that much */
  constructor(index: number, evidence: MemoryEvidence, pages: number, space: Space, hasher: PageHasher) {
    const { is64, shared, min, max } = evidence;
    const number = (value: number): number | bigint => (is64 ? BigInt(value) : value);
    this.memory = new WebAssembly.Memory({
      ...(is64 ? { address: 'i64' } : {}),
      initial: number(Math.max(min, pages)),
      ...(max < 0 ? {} : { maximum: number(max) }),
      ...(shared ? { shared } : {}),
    } as unknown as WebAssembly.MemoryDescriptor);
    this.#index = index;
    this.#is64 = is64;
    this.#space = space;
    this.#hasher = hasher;
  }

  /** WebAssembly pages. */
  get pages(): number {
    return this.memory.buffer.byteLength / FRAME_BYTES;
  }

  /** False where the host has no more. */
  grow(delta: number): boolean {
    try {
      this.memory.grow((this.#is64 ? BigInt(delta) : delta) as number);
      return true;
    } catch {
      return false;
    }
  }

  /** Takes over pages as the kernel has them. */
  write({ numbers, data }: PageRun): void {
    this.#fit();
    const bytes = new Uint8Array(this.memory.buffer);
    numbers.forEach((page, i) => {
      const at = i * PAGE_BYTES;
      bytes.set(data.subarray(at, at + PAGE_BYTES), page * PAGE_BYTES);
      this.#hasher.hash(data, at);
      this.#hashes.set(this.#hasher.out.subarray(0, 2), 2 * page);
    });
  }

  /** The pages that changed; from now on the kernel has them. `all`: whether marked or not. */
  changed(all: boolean): PageRun {
    this.#fit();
    const bytes = new Uint8Array(this.memory.buffer);
    const numbers: number[] = [];
    for (const page of all ? this.#everyPage() : this.#marked()) {
      this.#hasher.hash(bytes, page * PAGE_BYTES);
      const [low, high] = this.#hasher.out as unknown as [number, number];
      if (this.#hashes[2 * page] === low && this.#hashes[2 * page + 1] === high) continue;
      this.#hashes[2 * page] = low;
      this.#hashes[2 * page + 1] = high;
      numbers.push(page);
    }
    const data = new Uint8Array(numbers.length * PAGE_BYTES);
    for (const [i, page] of numbers.entries()) {
      data.set(bytes.subarray(page * PAGE_BYTES, (page + 1) * PAGE_BYTES), i * PAGE_BYTES);
    }
    return { memory: this.#index, numbers: Uint32Array.from(numbers), data };
  }

  #fit(): void {
    const words = 2 * PAGES_A_FRAME * this.pages;
    if (words === this.#hashes.length) return;
    const larger = new Uint32Array(words);
    larger.set(this.#hashes);
    this.#hashes = larger;
  }

  *#everyPage(): Generator<number> {
    for (let page = 0; page < this.pages * PAGES_A_FRAME; page++) yield page;
    this.#space.u8.fill(0, ownMarks(this.#index), ownMarks(this.#index) + OWN_MARKS_BYTES);
  }

  /** Pages that may have changed, ascending: a mark stands for its neighbours too. Takes the marks away. */
  *#marked(): Generator<number> {
    const { u8, i32 } = this.#space;
    const from = ownMarks(this.#index);
    const end = this.pages * PAGES_A_FRAME;
    assert(end < OWN_MARKS_BYTES, 'every page has a mark');
    let next = 0;
    for (let four = 0; four <= end; four += 4) {
      if (i32[(from + four) >> 2] === 0) continue;
      for (let mark = four; mark < four + 4; mark++) {
        if (u8[from + mark] === 0) continue;
        u8[from + mark] = 0;
        for (let page = Math.max(mark - 1, next); page <= mark + 1 && page < end; page++) {
          next = page + 1;
          yield page;
        }
      }
    }
  }
}
