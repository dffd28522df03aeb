/**
 * LEB128 as WebAssembly uses it, appended to plain number arrays: for the small hand-made byte sequences of abi/.
 * The codec in wasm/ has its own, faster, for whole modules.
 */

/** Appends an unsigned LEB128 of a safe non-negative integer. */
export function pushUnsigned(out: number[], value: number | bigint): void {
  let rest = BigInt(value);
  for (;;) {
    const low = Number(rest & 0x7fn);
    rest >>= 7n;
    if (rest === 0n) {
      out.push(low);
      return;
    }
    out.push(low | 0x80);
  }
}

/** Appends a signed LEB128. */
export function pushSigned(out: number[], value: number | bigint): void {
  let rest = BigInt(value);
  for (;;) {
    const low = Number(rest & 0x7fn);
    rest >>= 7n;
    if ((rest === 0n && (low & 0x40) === 0) || (rest === -1n && (low & 0x40) !== 0)) {
      out.push(low);
      return;
    }
    out.push(low | 0x80);
  }
}
