/** For tests only: a program that does to an object what a test says, and tells what came of it. */
import { OPERATION } from '../abi/ring.ts';
import type { Space } from '../index.ts';
import { wat } from '../wasm/wat.testing.ts';

/**
 * Does what its input says to the object `x`, or that of a handle, one operation after the other, until it ends: 32 bytes for each (u32 operation,
 * options, method, bytes given first, bytes given second, room; u64 offset), then what is given, padded to 240 bytes; u64 time limit (ns), u32
 * handle or 0 for `x`, u32 other. For
 * each it writes 264 bytes: i32 result, u32 low half of the value, and what was filled in.
 */
export const CLIENT: Promise<Uint8Array> = wat(`(module
  (import "perdure_kernel" "granted" (func $granted (param i32 i32) (result i32)))
  (import "perdure_kernel" "ring_create" (func $create (param i32 i32 i32) (result i32)))
  (import "perdure_kernel" "ring_enter" (func $enter (param i32 i32 i32 i64) (result i32)))
  (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "x")
  (func $all (param $fd i32) (param $at i32) (param $length i32) (result i32)
    (loop $more
      (i32.store (i32.const 8) (local.get $at))
      (i32.store (i32.const 12) (local.get $length))
      (if (if (result i32) (local.get $fd)
            (then (call $write (local.get $fd) (i32.const 8) (i32.const 1) (i32.const 16)))
            (else (call $read (local.get $fd) (i32.const 8) (i32.const 1) (i32.const 16))))
        (then unreachable))
      (if (i32.eqz (i32.load (i32.const 16))) (then (return (i32.const 0))))
      (local.set $at (i32.add (local.get $at) (i32.load (i32.const 16))))
      (br_if $more (local.tee $length (i32.sub (local.get $length) (i32.load (i32.const 16))))))
    (i32.const 1))
  (func (export "_start") (local $ring i32) (local $x i32) (local $turn i32) (local $s i32)
    (local.set $ring (call $create (i32.const 4096) (i32.const 4) (i32.const 0)))
    (local.set $x (call $granted (i32.const 0) (i32.const 1)))
    (block $end (loop $next
      (br_if $end (i32.eqz (call $all (i32.const 0) (i32.const 1024) (i32.const 288))))
      (memory.fill (i32.const 2048) (i32.const 0) (i32.const 264))
      ;; The submission, at its place of four.
      (local.set $s (i32.add (i32.const 4224) (i32.shl (i32.and (local.get $turn) (i32.const 3)) (i32.const 6))))
      (memory.fill (local.get $s) (i32.const 0) (i32.const 64))
      (i32.store8 (local.get $s) (i32.load (i32.const 1024)))
      (i32.store offset=56 (local.get $s) (i32.load (i32.const 1028)))
      (i32.store16 offset=2 (local.get $s) (i32.load (i32.const 1032)))
      (i32.store offset=4 (local.get $s)
        (select (i32.load (i32.const 1304)) (local.get $x) (i32.load (i32.const 1304))))
      (i32.store offset=48 (local.get $s) (i32.load (i32.const 1308)))
      (i64.store offset=32 (local.get $s) (i64.load (i32.const 1296)))
      (i64.store offset=24 (local.get $s) (i64.load (i32.const 1048)))
      (i32.store offset=16 (local.get $s) (i32.const 1056))
      (i32.store offset=20 (local.get $s) (i32.load (i32.const 1036)))
      (i32.store offset=40 (local.get $s) (i32.add (i32.const 1056) (i32.load (i32.const 1036))))
      (i32.store offset=44 (local.get $s) (i32.load (i32.const 1040)))
      ;; What is to be filled is the second buffer, or the first where nothing is given in it.
      (if (i32.load (i32.const 1044)) (then
        (if (i32.or (i32.eq (i32.load (i32.const 1024)) (i32.const ${OPERATION.read}))
                    (i32.eq (i32.load (i32.const 1024)) (i32.const ${OPERATION.list})))
          (then (i32.store offset=16 (local.get $s) (i32.const 2056))
                (i32.store offset=20 (local.get $s) (i32.load (i32.const 1044))))
          (else (i32.store offset=40 (local.get $s) (i32.const 2056))
                (i32.store offset=44 (local.get $s) (i32.load (i32.const 1044)))))))
      (local.set $turn (i32.add (local.get $turn) (i32.const 1)))
      (i32.store (i32.const 4160) (local.get $turn))
      (drop (call $enter (local.get $ring) (i32.const 1) (i32.const 1) (i64.const -1)))
      ;; Its completion, of eight.
      (local.set $s (i32.add (i32.const 4480)
        (i32.shl (i32.and (i32.sub (local.get $turn) (i32.const 1)) (i32.const 7)) (i32.const 5))))
      (i32.store (i32.const 2048) (i32.load offset=8 (local.get $s)))
      (i32.store (i32.const 2052) (i32.load offset=16 (local.get $s)))
      (i32.store (i32.const 4164) (local.get $turn))
      (drop (call $all (i32.const 1) (i32.const 2048) (i32.const 264)))
      (br $next)))))`);

export interface Asked {
  readonly operation: number;
  readonly options?: number;
  readonly method?: number;
  readonly first?: string | Uint8Array;
  readonly second?: string | Uint8Array;
  readonly room?: number;
  readonly offset?: bigint;
  readonly handle?: number;
  readonly limitNs?: bigint;
  readonly other?: number;
}

export function encode(asked: Asked): Uint8Array {
  const bytes = Buffer.alloc(288);
  const [first, second] = [Buffer.from(asked.first ?? ''), Buffer.from(asked.second ?? '')];
  const words = [
    asked.operation,
    asked.options ?? 0,
    asked.method ?? 0,
    first.length,
    second.length,
    asked.room ?? 0,
  ];
  words.forEach((word, i) => {
    bytes.writeUInt32LE(word, 4 * i);
  });
  bytes.writeBigUInt64LE(asked.offset ?? 0n, 24);
  bytes.set(first, 32);
  bytes.set(second, 32 + first.length);
  bytes.writeBigUInt64LE(asked.limitNs ?? 0n, 272);
  bytes.writeUInt32LE(asked.handle ?? 0, 280);
  bytes.writeUInt32LE(asked.other ?? 0, 284);
  return bytes;
}

/** Takes answers as they come. */
export function answers() {
  let bytes = Buffer.alloc(0);
  const waiting: (() => void)[] = [];
  return {
    take(more: Uint8Array) {
      bytes = Buffer.concat([bytes, more]);
      for (const look of waiting.splice(0)) look();
    },
    async next(): Promise<{ result: number; value: number; filled: Buffer }> {
      while (bytes.length < 264) await new Promise<void>((resolve) => waiting.push(resolve));
      const result = bytes.readInt32LE(0);
      const value = bytes.readUInt32LE(4);
      const filled = bytes.subarray(8, 264);
      bytes = bytes.subarray(264);
      return { result, value, filled };
    },
  };
}

export async function clientOf(space: Space, imports: Parameters<Space['spawn']>[1]) {
  const said = answers();
  const domain = await space.spawn(await CLIENT, { name: 'client', ...imports, stdout: said.take });
  const ask = async (asked: Asked) => {
    domain.write(encode(asked));
    return said.next();
  };
  return { domain, ask, said };
}
