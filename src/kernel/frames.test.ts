import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FRAME_VERSION, frameBytes, readTrailer, TRAILER_BYTES, writeTrailer } from '../abi/frame.ts';
import { program, TestSystem } from './kernel.testing.ts';

/** Recursion in which one local is dead at the call: this compiler leaves it out of the frame, another may not. */
const PROGRAM = `(module
  (import "env" "log64" (func $log64 (param i64)))
  (import "env" "wait" (func $wait (param i32) (result i32)))
  (func $down (param $n i32) (param $x i64) (result i64) (local $dead i64) (local $f f64)
    (local.set $dead (i64.mul (local.get $x) (i64.const 3)))
    (local.set $f (f64.convert_i64_s (local.get $dead)))
    (if (i32.eqz (local.get $n)) (then (return (i64.extend_i32_s (call $wait (i32.const 4))))))
    (i64.add (local.get $x)
      (i64.add
        (call $down (i32.sub (local.get $n) (i32.const 1)) (i64.add (local.get $x) (i64.const 1)))
        (i64.trunc_sat_f64_s (local.get $f)))))
  (func (export "_start") (call $log64 (call $down (i32.const 6) (i64.const 10)))))`;

/** The frames, outermost first. */
function split(stack: Uint8Array): Uint8Array[] {
  const view = new DataView(stack.buffer, stack.byteOffset, stack.byteLength);
  const frames: Uint8Array[] = [];
  for (let end = stack.length; end > 0; ) {
    const size = frameBytes(readTrailer(view, end));
    frames.unshift(stack.slice(end - size, end));
    end -= size;
  }
  return frames;
}

/** Each frame of a function with locals as a compiler would have saved it that keeps local `local` too, or drops it. */
function rewrite(stack: Uint8Array, local: number, keep: boolean): Uint8Array {
  const out: Uint8Array[] = [];
  for (const frame of split(stack)) {
    const view = new DataView(frame.buffer, frame.byteOffset, frame.byteLength);
    const { functionNumber, instructionOffset, kind, operands, maskWords, slots } = readTrailer(
      view,
      frame.length,
    );
    const masks = frame.length - TRAILER_BYTES - 8 * maskWords;
    const mask = maskWords === 1 ? view.getBigUint64(masks, true) : 0n;
    const has = ((mask >> BigInt(local)) & 1n) === 1n;
    // Wrappers of imports and _start have no local of this number.
    if (instructionOffset === 0 || maskWords === 0 || has === keep) {
      out.push(frame);
      continue;
    }
    let before = 0;
    for (let i = 0; i < local; i++) before += Number((mask >> BigInt(i)) & 1n);
    const changed = new Uint8Array(frame.length + (keep ? 8 : -8));
    changed.set(frame.subarray(0, 8 * before));
    if (keep) changed.set(frame.subarray(8 * before), 8 * before + 8);
    else changed.set(frame.subarray(8 * before + 8), 8 * before);
    const to = new DataView(changed.buffer);
    const end = changed.length;
    to.setBigUint64(end - TRAILER_BYTES - 8, mask ^ (1n << BigInt(local)), true);
    const place = { functionNumber, instructionOffset, kind, operands, maskWords };
    writeTrailer(changed, end - TRAILER_BYTES, { ...place, slots: slots + (keep ? 1 : -1) });
    out.push(changed);
  }
  const joined = new Uint8Array(out.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const each of out) {
    joined.set(each, at);
    at += each.length;
  }
  return joined;
}

async function suspended() {
  const system = new TestSystem();
  const module = await program(PROGRAM);
  const id = system.add('a', module);
  system.kernel.start(id, '_start');
  system.runAll();
  assert.equal(system.kernel.status(id).state, 'blocked');
  return { system, module, image: system.kernel.exportDomain(id) };
}

test('frames that keep more locals than this compiler needs are gone on from', async () => {
  const { system, module, image } = await suspended();
  const other = new TestSystem();
  other.modules.set(module.hash, module);
  const frames = rewrite(image.frames, 2, true);
  assert.ok(frames.length > image.frames.length, 'the dead local was added');
  other.kernel.importDomain({ ...image, frames }, module, 'a');
  for (const each of [system, other]) {
    each.personality.open = true;
    for (const id of each.kernel.ids()) each.kernel.wake(id);
    each.runAll();
  }
  assert.deepEqual(other.values('a'), system.values('a'));
  assert.equal(system.values('a').length, 1);
});

test('frames without a local that is needed are refused', async () => {
  const { module, image } = await suspended();
  const frames = rewrite(image.frames, 3, false);
  assert.ok(frames.length < image.frames.length, 'a live local was dropped');
  const other = new TestSystem();
  assert.throws(() => other.kernel.importDomain({ ...image, frames }, module, 'a'), {
    name: 'MalformedError',
  });
});

test('frames and images of version 1 are gone on from', async () => {
  const { module, image } = await suspended();
  const frames = Uint8Array.from(image.frames);
  for (let end = frames.length; end > 0; ) {
    const view = new DataView(frames.buffer);
    assert.equal(readTrailer(view, end).version, FRAME_VERSION);
    frames[end - TRAILER_BYTES + 8] = 1;
    end -= frameBytes(readTrailer(view, end));
  }
  const { made, ...old } = image;
  assert.deepEqual(made, []);
  const other = new TestSystem();
  other.modules.set(module.hash, module);
  const id = other.kernel.importDomain({ ...old, version: 1, frames }, module, 'a');
  other.personality.open = true;
  other.kernel.wake(id);
  other.runAll();
  assert.equal(other.values('a').length, 1);
  frames[frames.length - TRAILER_BYTES + 8] = FRAME_VERSION + 1;
  assert.throws(() => other.kernel.importDomain({ ...old, version: 1, frames }, module, 'b'), {
    name: 'MalformedError',
  });
});
