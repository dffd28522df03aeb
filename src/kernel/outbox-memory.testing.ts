/**
 * For tests only: a StateMemory over a plain array, whose content can be taken as a checkpoint and brought back. An
 * allocator that remembers its blocks tells of leaks and double releases.
 */
import { assert } from '../base/assert.ts';
import type { RootCell, StateMemory } from './outbox-memory.ts';

const FIRST = 64;

export interface Image {
  readonly bytes: Uint8Array;
  readonly blocks: ReadonlyMap<number, number>;
  readonly next: number;
}

export class TestMemory implements StateMemory {
  #bytes = new Uint8Array(1 << 16);
  #blocks = new Map<number, number>();
  #next = FIRST;
  /** Bytes it gives before it says the space is full. */
  limitBytes = 1 << 26;
  #free = new Map<number, number[]>();

  allocate(bytes: number): number {
    const size = (bytes + 15) & ~15;
    const reused = this.#free.get(size)?.pop();
    const address = reused ?? this.#next;
    if (reused === undefined) {
      if (this.#next + size > this.limitBytes) return 0;
      this.#next += size;
    }
    while (this.#next > this.#bytes.length) {
      const grown = new Uint8Array(this.#bytes.length * 2);
      grown.set(this.#bytes);
      this.#bytes = grown;
    }
    this.#bytes.fill(0, address, address + size);
    this.#blocks.set(address, size);
    return address;
  }

  release(address: number): void {
    const size = this.#blocks.get(address);
    assert(size !== undefined, 'only allocated blocks are released');
    this.#blocks.delete(address);
    this.#bytes.fill(0xdd, address, address + size);
    const list = this.#free.get(size) ?? [];
    list.push(address);
    this.#free.set(size, list);
  }

  bytes(): Uint8Array {
    return this.#bytes;
  }

  view(): DataView {
    return new DataView(this.#bytes.buffer);
  }

  mark(address: number, length: number): void {
    assert(address >= FIRST || address + length <= FIRST, 'marks lie in blocks');
  }

  /** Blocks in use. */
  get blocks(): number {
    return this.#blocks.size;
  }

  /** What a checkpoint taken now would hold. */
  image(): Image {
    return { bytes: this.#bytes.slice(), blocks: new Map(this.#blocks), next: this.#next };
  }

  /** A memory as it was at a checkpoint. */
  static from(image: Image): TestMemory {
    const memory = new TestMemory();
    memory.#bytes = image.bytes.slice();
    memory.#blocks = new Map(image.blocks);
    memory.#next = image.next;
    return memory;
  }

  /** A root cell in the memory itself, so that images hold it; `slot` from 1 to 7. */
  root(slot: number): RootCell {
    return {
      get: () => Number(this.view().getBigUint64(slot * 8, true)),
      set: (address) => this.view().setBigUint64(slot * 8, BigInt(address), true),
    };
  }
}
