// Conway's game of life on a torus, as AssemblyScript compiles it: typed arrays, whose lengths it checks at each access.
import { argument, endLine, number } from "../as/wasi";

const SIZE = 256;

function step(from: Uint8Array, to: Uint8Array): void {
  for (let y = 0; y < SIZE; y++) {
    const above = ((y + SIZE - 1) % SIZE) * SIZE;
    const here = y * SIZE;
    const below = ((y + 1) % SIZE) * SIZE;
    for (let x = 0; x < SIZE; x++) {
      const left = (x + SIZE - 1) % SIZE;
      const right = (x + 1) % SIZE;
      const around =
        from[above + left] + from[above + x] + from[above + right] + from[here + left] +
        from[here + right] + from[below + left] + from[below + x] + from[below + right];
      to[here + x] = around == 3 || (around == 2 && from[here + x] == 1) ? 1 : 0;
    }
  }
}

export function _start(): void {
  const rounds = argument(1, 120);
  let now = new Uint8Array(SIZE * SIZE);
  let next = new Uint8Array(SIZE * SIZE);
  let state: u32 = 2463534242;
  for (let i = 0; i < now.length; i++) {
    state ^= state << 13;
    state ^= state >> 17;
    state ^= state << 5;
    now[i] = <u8>(state >> 31);
  }
  for (let round = 0; round < rounds; round++) {
    step(now, next);
    const old = now;
    now = next;
    next = old;
  }
  let sum: u64 = 0;
  for (let i = 0; i < now.length; i++) sum = sum * 31 + now[i];
  number(sum);
  endLine();
}
