// What an AssemblyScript program needs of WASI to print lines and to read its arguments. Buffers are static: the
// programs use the stub runtime, which never frees.

// @ts-ignore: a decorator of AssemblyScript, which TypeScript does not know
@external("wasi_snapshot_preview1", "fd_write")
declare function fd_write(fd: i32, vectors: usize, count: i32, written: usize): i32;
// @ts-ignore: a decorator of AssemblyScript, which TypeScript does not know
@external("wasi_snapshot_preview1", "args_sizes_get")
declare function args_sizes_get(count: usize, bytes: usize): i32;
// @ts-ignore: a decorator of AssemblyScript, which TypeScript does not know
@external("wasi_snapshot_preview1", "args_get")
declare function args_get(pointers: usize, bytes: usize): i32;
// @ts-ignore: a decorator of AssemblyScript, which TypeScript does not know
@external("wasi_snapshot_preview1", "proc_exit")
declare function proc_exit(status: i32): void;

const LINE: usize = memory.data(512);
const VECTOR: usize = memory.data(16);
const ARGUMENTS: usize = memory.data(4096);
const POINTERS: usize = memory.data(256);
let length: i32 = 0;

// Writes all of a buffer to standard output.
export function write(at: usize, bytes: i32): void {
  while (bytes > 0) {
    store<u32>(VECTOR, <u32>at);
    store<u32>(VECTOR, <u32>bytes, 4);
    if (fd_write(1, VECTOR, 1, VECTOR + 8) != 0) proc_exit(1);
    const done = load<u32>(VECTOR, 8);
    at += done;
    bytes -= <i32>done;
  }
}

// Adds text (ASCII) to the line being built.
export function text(words: string): void {
  for (let i = 0; i < words.length && length < 500; i++) store<u8>(LINE + length++, <u8>words.charCodeAt(i));
}

// Adds a number, padded on the left with spaces to `width`.
export function number(n: u64, width: i32 = 0): void {
  let digits = 1;
  for (let rest = n / 10; rest > 0; rest /= 10) digits++;
  for (let i = digits; i < width && length < 480; i++) store<u8>(LINE + length++, 32);
  for (let i = digits - 1; i >= 0; i--) {
    store<u8>(LINE + length + i, <u8>(48 + (n % 10)));
    n /= 10;
  }
  length += digits;
}

// Ends the line and writes it out.
export function endLine(): void {
  store<u8>(LINE + length++, 10);
  const bytes = length;
  length = 0;
  write(LINE, bytes);
}

// Argument `index` as a number, or `otherwise` where there is none.
export function argument(index: i32, otherwise: i32): i32 {
  if (args_sizes_get(VECTOR, VECTOR + 4) != 0) return otherwise;
  const count = load<i32>(VECTOR);
  if (index >= count || count > 60 || load<u32>(VECTOR, 4) > 4096) return otherwise;
  if (args_get(POINTERS, ARGUMENTS) != 0) return otherwise;
  let result = 0;
  for (let at: usize = load<u32>(POINTERS + 4 * index); load<u8>(at) != 0; at++) {
    const digit = <i32>load<u8>(at) - 48;
    if (digit < 0 || digit > 9) return otherwise;
    result = result * 10 + digit;
  }
  return result;
}
