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
import { GATE_HEADROOM_BYTES, HEADROOM_BYTES } from '../base/limits.ts';

function section(id: number, content: number[]): number[] {
  const out = [id];
  pushUnsigned(out, content.length);
  return [...out, ...content];
}
function vector(items: number[][]): number[] {
  const out: number[] = [];
  pushUnsigned(out, items.length);
  return [...out, ...items.flat()];
}
function sized(content: number[]): number[] {
  const out: number[] = [];
  pushUnsigned(out, content.length);
  for (const byte of content) out.push(byte);
  return out;
}

/** Function 0: () -> v128, never the same to the optimiser. Function 1, exported: (i32) -> (), with the large frame. */
function moduleBytes(frameBytes: number): Uint8Array<ArrayBuffer> {
  const count = Math.ceil(frameBytes / 16);
  const body: number[] = [];
  const locals: number[] = [];
  pushUnsigned(locals, 1);
  pushUnsigned(locals, count);
  locals.push(0x7b);
  body.push(...locals, 0x20, 0, 0x04, 0x40); // local.get 0, if
  for (let i = 1; i <= count; i++) {
    body.push(0x10, 0, 0x21); // call 0, local.set i
    pushUnsigned(body, i);
  }
  for (let i = 1; i <= count; i++) {
    body.push(0x20); // local.get i
    pushUnsigned(body, i);
    if (i > 1) body.push(0xfd, 0x51); // v128.xor
  }
  body.push(0xfd, 0x53, 0x24, 0, 0x0b, 0x0b); // v128.any_true, global.set 0, end, end
  const source = [0, 0x23, 0, 0x41, 1, 0x6a, 0x24, 0, 0x23, 0, 0xfd, 0x11, 0x0b]; // global 0 += 1, i32x4.splat of it
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
    ...section(10, vector([sized(source), sized(body)])),
  ]);
}

type Probe = (run: number) => void;
function makeProbe(frameBytes: number): Probe {
  const instance = new WebAssembly.Instance(new WebAssembly.Module(moduleBytes(frameBytes)));
  return instance.exports.p as Probe;
}

let probe: Probe | null = null;
let gateProbe: Probe | null = null;

/** @throws RangeError when fewer than HEADROOM_BYTES of native stack are left. */
export function headroom(): void {
  probe ??= makeProbe(HEADROOM_BYTES);
  probe(0);
}

/** @throws RangeError when fewer than GATE_HEADROOM_BYTES of native stack are left, for a callee in another domain. */
export function gateHeadroom(): void {
  gateProbe ??= makeProbe(GATE_HEADROOM_BYTES);
  gateProbe(0);
}
