/**
 * A space for the verifier's fuzzer: small, and full of canaries.
 */
import { FLAG_ADDRESS } from '../../src/abi/layout.ts';
import { FRAME_BYTES, SPACE_MAX_FRAMES } from '../../src/base/limits.ts';

/** Frames of the spaces here: few, so that they are quickly compared; modules are patched to be content with them. */
export const SPACE_FRAMES = 256;
export const SPACE_BYTES = SPACE_FRAMES * FRAME_BYTES;

/** Two spaces differ in every byte when their seeds do. */
export class Space {
  readonly memory: WebAssembly.Memory;
  readonly bytes: Uint8Array;
  readonly view: DataView;
  readonly canary: Uint8Array;

  constructor(seed: number) {
    this.memory = new WebAssembly.Memory({
      initial: BigInt(SPACE_FRAMES),
      maximum: BigInt(SPACE_MAX_FRAMES),
      shared: true,
      address: 'i64',
    } as WebAssembly.MemoryDescriptor);
    this.bytes = new Uint8Array(this.memory.buffer);
    this.view = new DataView(this.memory.buffer);
    // No byte of one space equals that of the other: the seeds differ by 0x55 in every byte.
    const words = new Uint32Array(SPACE_BYTES / 4);
    let x = 0x9e3779b9;
    for (let i = 0; i < words.length; i++) {
      x ^= x << 13;
      x ^= x >>> 17;
      x ^= x << 5;
      words[i] = x ^ seed;
    }
    words[FLAG_ADDRESS / 4] = 0;
    this.canary = new Uint8Array(words.buffer);
    this.bytes.set(this.canary);
  }
}
