/**
 * Makes sure that kernel code called by a program has native stack to run on. A program may call the kernel with the
 * stack all but used up; if it then ran out in the middle of kernel code, the kernel's state would be left half
 * changed. `headroom()` throws RangeError, before anything was done, unless HEADROOM_BYTES are left.
 *
 * How: a WebAssembly function whose machine frame is that large, because its untaken branch keeps thousands of vectors
 * alive across calls. V8 checks the stack against the frame's size when the function is entered; the branch never
 * runs, so the check costs about 2 ns, where recursing that deep in JavaScript costs microseconds.
 *
 * Why: RATIONALE.md#kernel-code-never-runs-out-of-stack-half-way
 */
import { pushUnsigned } from '../base/leb.ts';
import { HEADROOM_BYTES } from '../base/limits.ts';

export const section = (id: number, content: number[]): number[] => [id, ...code(content)];
export function vector(items: number[][]): number[] {
  const out: number[] = [];
  pushUnsigned(out, items.length);
  return [...out, ...items.flat()];
}
/** Bytes behind their number. */
export function code(content: number[]): number[] {
  const out: number[] = [];
  pushUnsigned(out, content.length);
  for (const byte of content) out.push(byte);
  return out;
}

/** Of a function of type () -> v128: never the same to the optimiser. It counts in global 0. */
export const probeSource = (): number[] =>
  code([0, 0x23, 0, 0x41, 1, 0x6a, 0x24, 0, 0x23, 0, 0xfd, 0x11, 0x0b]); // global 0 += 1, i32x4.splat of it

/**
 * Of a function of type (i32) -> () with so large a frame, which calls the source. The vectors are operands and not locals:
 * those the quick compiler of V8 would set to zero at each call.
 */
export function probeBody(frameBytes: number, source: number): number[] {
  const count = Math.ceil(frameBytes / 16);
  const body: number[] = [0, 0x20, 0, 0x04, 0x40]; // no locals, local.get 0, if
  for (let i = 0; i < count; i++) body.push(0x10, source);
  for (let i = 1; i < count; i++) body.push(0xfd, 0x51); // v128.xor
  body.push(0xfd, 0x53, 0x24, 0, 0x0b, 0x0b); // v128.any_true, global.set 0, end, end
  return code(body);
}

/** Function 1 is exported: the probe. */
function moduleBytes(frameBytes: number): Uint8Array<ArrayBuffer> {
  return Uint8Array.from([
    ...[0, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
    ...section(
      1,
      vector([
        [0x60, 0, 1, 0x7b],
        [0x60, 1, 0x7f, 0],
      ]),
    ),
    ...section(3, vector([[0], [1]])),
    ...section(6, vector([[0x7f, 1, 0x41, 0, 0x0b]])),
    ...section(7, vector([[1, 0x70, 0, 1]])),
    ...section(10, vector([probeSource(), probeBody(frameBytes, 0)])),
  ]);
}

let probe: ((run: number) => void) | null = null;

/** @throws RangeError when fewer than HEADROOM_BYTES of native stack are left. */
export function headroom(): void {
  probe ??= new WebAssembly.Instance(new WebAssembly.Module(moduleBytes(HEADROOM_BYTES))).exports.p as (
    run: number,
  ) => void;
  probe(0);
}
