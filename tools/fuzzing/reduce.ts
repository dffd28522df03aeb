/**
 * Makes a failing program smaller: takes instructions away as long as V8 still takes the module and it still fails in
 * the same way. What is left is what a person looks at first.
 */
import { InstructionCursor } from '../../src/wasm/instructions.ts';
import { decodeModule, encodeModule, type Module } from '../../src/wasm/module.ts';

type Code = readonly Uint8Array[];

/** In place of an instruction: nothing with one operand less, and constants. */
const STAND_INS: readonly Uint8Array[] = [[0x1a], [0x41, 0], [0x42, 0], [0x1a, 0x41, 0], [0x1a, 0x42, 0]].map(
  (bytes) => Uint8Array.from(bytes),
);
const UNREACHABLE = Uint8Array.from([0x00]);
/** Longest run of instructions that is tried at every place. */
const WINDOW = 40;

/**
 * @param fails whether a module (valid, as V8 says) still shows the fault
 * @param ms stops trying after so long
 */
export function reduce(
  bytes: Uint8Array<ArrayBuffer>,
  fails: (bytes: Uint8Array<ArrayBuffer>) => boolean,
  ms = 60_000,
): Uint8Array<ArrayBuffer> {
  const end = Date.now() + ms;
  const module = decodeModule(bytes);
  const bodies = module.codes.map(({ source, start, end: stop }) => split(source, start, stop));
  const whole = (): Uint8Array<ArrayBuffer> => encode(module, bodies);
  let best = bytes;
  const attempt = (index: number, code: Code): boolean => {
    if (Date.now() > end) return false;
    const before = bodies[index]!;
    bodies[index] = code;
    const candidate = whole();
    if (WebAssembly.validate(candidate) && fails(candidate)) {
      best = candidate;
      return true;
    }
    bodies[index] = before;
    return false;
  };
  for (let again = true; again && Date.now() < end; ) {
    const before = best.length;
    for (const [index, code] of bodies.entries()) {
      if (code.length > 2) attempt(index, [UNREACHABLE, code.at(-1)!]);
    }
    for (const index of bodies.keys()) shrink(index, bodies, attempt);
    again = best.length < before;
  }
  return best;
}

function shrink(index: number, bodies: Code[], attempt: (index: number, code: Code) => boolean): void {
  for (
    let size = Math.min(bodies[index]!.length - 1, 400);
    size > 0;
    size = size > WINDOW ? size >> 1 : size - 1
  ) {
    // Long runs only at every so many places.
    const step = size > WINDOW ? size >> 2 : 1;
    for (let at = 0; at + size < bodies[index]!.length; at += step) {
      const code = bodies[index]!;
      const without = [...code.slice(0, at), ...code.slice(at + size)];
      if (attempt(index, without)) at -= step;
      else if (size === 1) {
        for (const other of STAND_INS) {
          if (code[at]!.length >= other.length && code[at]!.join() !== other.join())
            if (attempt(index, [...code.slice(0, at), other, ...code.slice(at + 1)])) break;
        }
      }
    }
  }
}

function split(source: Uint8Array, start: number, end: number): Code {
  const cursor = new InstructionCursor(source);
  cursor.reset(start, end);
  const out: Uint8Array[] = [];
  while (cursor.next()) out.push(source.slice(cursor.offset, cursor.end));
  return out;
}

function encode(module: Module, bodies: readonly Code[]): Uint8Array<ArrayBuffer> {
  const codes = module.codes.map(({ locals }, i) => {
    const source = Uint8Array.from(bodies[i]!.flatMap((one) => [...one]));
    return { locals, source, start: 0, end: source.length };
  });
  return encodeModule({ ...module, codes }) as Uint8Array<ArrayBuffer>;
}
