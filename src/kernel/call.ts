/**
 * The kernel's side of `Caller`: one object for all system calls of a core, speaking for whichever domain runs.
 */
import { FRAME_BYTES, WINDOW_BASE } from '../base/limits.ts';
import type { Space } from '../space/index.ts';
import type { Caller } from './caller.ts';
import type { Core } from './core.ts';
import { DomainRecord, END, NO_DEADLINE } from './domain.ts';

const R = DomainRecord.fields;

export class CoreCaller implements Caller {
  readonly #core: Core;
  readonly space: Space;

  constructor(core: Core) {
    this.#core = core;
    this.space = core.space;
  }

  get domainId(): number {
    return this.#core.caller().id;
  }
  get name(): string {
    return this.#core.caller().name;
  }
  get personalityState(): number {
    return R.personality.get(this.space, this.#core.caller().at);
  }
  set personalityState(address: number) {
    R.personality.set(this.space, this.#core.caller().at, address);
  }
  get memoryBytes(): number {
    return R.pages.get(this.space, this.#core.caller().at) * FRAME_BYTES;
  }

  range(pointer: number, length: number, writes = false): number {
    const domain = this.#core.caller();
    // i32 arguments come signed; a near address is what their bits say. A memory64 program's are far below 2^53.
    if (pointer < 0) pointer += 0x100000000;
    if (length < 0) length += 0x100000000;
    if (!(pointer >= 0 && length >= 0)) return -1;
    if (pointer + length > R.pages.get(this.space, domain.at) * FRAME_BYTES)
      return pointer < WINDOW_BASE ? -1 : this.#core.windows.resolve(domain, pointer, length, writes);
    const at = R.region.get(this.space, domain.at) + domain.controlBytes + pointer;
    this.#core.touched?.note(at, length);
    return at;
  }
  readBytes(pointer: number, length: number): Uint8Array<ArrayBuffer> | null {
    const at = this.range(pointer, length);
    return at < 0 ? null : this.space.readBytes(at, length < 0 ? length + 0x100000000 : length);
  }
  writeBytes(pointer: number, data: Uint8Array): boolean {
    const at = this.range(pointer, data.length, true);
    if (at < 0) return false;
    this.space.writeBytes(at, data);
    return true;
  }

  getU8(pointer: number): number {
    const at = this.range(pointer, 1);
    return at < 0 ? -1 : (this.space.u8[at] as number);
  }
  getU16(pointer: number): number {
    const at = this.range(pointer, 2);
    return at < 0 ? -1 : this.space.view.getUint16(at, true);
  }
  getU32(pointer: number): number {
    const at = this.range(pointer, 4);
    return at < 0 ? -1 : this.space.view.getUint32(at, true);
  }
  getU64(pointer: number): bigint {
    const at = this.range(pointer, 8);
    return at < 0 ? -1n : this.space.view.getBigUint64(at, true);
  }
  setU8(pointer: number, value: number): boolean {
    const at = this.range(pointer, 1, true);
    if (at >= 0) this.space.setU8(at, value);
    return at >= 0;
  }
  setU16(pointer: number, value: number): boolean {
    const at = this.range(pointer, 2, true);
    if (at < 0) return false;
    this.space.view.setUint16(at, value, true);
    this.space.mark(at, 2);
    return true;
  }
  setU32(pointer: number, value: number): boolean {
    const at = this.range(pointer, 4, true);
    if (at < 0) return false;
    this.space.view.setUint32(at, value, true);
    this.space.mark(at, 4);
    return true;
  }
  setU64(pointer: number, value: bigint): boolean {
    const at = this.range(pointer, 8, true);
    if (at < 0) return false;
    this.space.view.setBigUint64(at, value, true);
    this.space.mark(at, 8);
    return true;
  }

  getScratch(word: number): bigint {
    return this.#core.running().getScratch(word);
  }
  setScratch(word: number, value: bigint): void {
    this.#core.running().setScratch(word, value);
  }

  now(): bigint {
    return this.#core.now() + this.#core.caller().clockOffset;
  }
  cpuTime(): bigint {
    const { powers, sliceStartMicros } = this.#core;
    const used = R.cpuUsed.get(this.space, this.#core.caller().at);
    return BigInt(Math.round(used + Math.max(0, powers.threadCpuMicros() - sliceStartMicros))) * 1000n;
  }
  block(deadline?: bigint): never {
    const { clockOffset } = this.#core.caller();
    this.#core.running().deadline = deadline === undefined ? NO_DEADLINE : clamp(deadline - clockOffset);
    this.#core.blocked = true;
    throw this.#core.unwind;
  }
  yield(): void {
    this.#core.pauseSoon();
  }
  exit(code: number): never {
    this.#core.endCurrent(END.exit, code | 0, '');
  }
  trap(reason: string): never {
    this.#core.trap(reason);
  }
}

function clamp(time: bigint): bigint {
  return time < 0n ? 0n : time > NO_DEADLINE ? NO_DEADLINE : time;
}
