// What a program in AssemblyScript needs of Perdure: the kernel's calls, and semaphores. Copy this file beside yours as
// `perdure.ts`, and import from it what you use; what is not used is not imported from the system.
//
// Results are 0 or more, or the negative of an error (`Errno`). Times are nanoseconds; below 0 is for ever. Each function is told
// with an example, which is compiled and run by the tests of Perdure.

// Errors, whose negatives calls give. Up to 76 they are those of WASI.
export namespace Errno {
  export const AGAIN: i32 = 6;
  export const BADF: i32 = 8;
  export const BUSY: i32 = 10;
  export const CANCELED: i32 = 11;
  export const DEADLK: i32 = 16;
  export const DQUOT: i32 = 19;
  export const EXIST: i32 = 20;
  export const FAULT: i32 = 21;
  export const INVAL: i32 = 28;
  export const NOENT: i32 = 44;
  export const NOTSUP: i32 = 58;
  export const PERM: i32 = 63;
  export const TIMEDOUT: i32 = 73;
  export const NOTCAPABLE: i32 = 76;
  export const REVOKED: i32 = 128;
  export const GONE: i32 = 129;
  export const FAULTED: i32 = 130;
  export const STOPPED: i32 = 131;
  export const REENTERED: i32 = 132;
  export const DEPTH: i32 = 133;
  export const FROZEN: i32 = 134;
}

// What a capability allows.
export namespace Right {
  export const READ: i32 = 1;
  export const WRITE: i32 = 2;
  export const INVOKE: i32 = 4;
  export const MAP: i32 = 8;
  export const SHARE: i32 = 16;
  export const DERIVE: i32 = 32;
  export const REVOKE: i32 = 64;
  export const MANAGE: i32 = 128;
  export const ALL: i32 = 255;
}

// For ever, as a time to wait for.
export const FOREVER: i64 = -1;

// A place in the program's list of capabilities: what names an object.
export type Handle = i32;

// What a capability is to.
export class Description {
  kind: u32 = 0;
  rights: u32 = 0;
  // The number that whoever serves the object sees, 0 for none.
  badge: u64 = 0;
  // The object's id, the same for all who have it and for ever.
  idHigh: u64 = 0;
  idLow: u64 = 0;
}

@external("perdure_kernel", "granted")
declare function granted_(name: usize, length: usize): i32;
@external("perdure_kernel", "cap_describe")
declare function describe_(handle: i32, out: usize): i32;
@external("perdure_kernel", "sem_wait")
declare function sem_wait(semaphore: usize, timeout: i64): i32;
@external("perdure_kernel", "sem_wake")
declare function sem_wake(semaphore: usize): i32;
@external("perdure_kernel", "wait_any")
declare function wait_any(list: usize, count: i32, timeout: i64): i32;
@external("perdure_kernel", "waitset_create")
declare function waitset_create(): i32;
@external("perdure_kernel", "waitset_add")
declare function waitset_add(set: i32, semaphore: usize, number: u64): i32;
@external("perdure_kernel", "waitset_remove")
declare function waitset_remove(set: i32, semaphore: usize): i32;
@external("perdure_kernel", "waitset_wait")
declare function waitset_wait(set: i32, out: usize, capacity: i32, timeout: i64): i32;

// The capability that was granted under a name. A handle, or -Errno.NOENT.
//
//     assert(granted("peer") > 0);
//     assert(granted("nothing of the kind") == -Errno.NOENT);
export function granted(name: string): Handle {
  const text = String.UTF8.encode(name);
  return granted_(changetype<usize>(text), text.byteLength);
}

// The same capability once more, with those of `rights` that it has. A handle, or an error: DQUOT, or what the handle itself gives
// (BADF, REVOKED, GONE).
//
//     const look = copy(granted("peer"), Right.READ);
//     assert(describe(look)!.rights == Right.READ);
@external("perdure_kernel", "cap_copy")
export declare function copy(handle: Handle, rights: i32): Handle;

// A capability that can be revoked apart from the one it is made of. `badge`: a number that whoever serves the object sees, 0 to
// keep that of the old one. Needs Right.DERIVE. A handle, or an error: NOTCAPABLE also where the old one has a badge, DEPTH, DQUOT.
//
//     const lent = derive(granted("peer"), Right.READ | Right.SHARE, 7);
//     assert(describe(lent)!.badge == 7);
@external("perdure_kernel", "cap_derive")
export declare function derive(handle: Handle, rights: i32, badge: u64): Handle;

// Gives the place in the list back. 0, or -Errno.BADF.
//
//     const set = WaitSet.create();
//     assert(close(set.handle) == 0);
//     assert(close(set.handle) == -Errno.BADF);
@external("perdure_kernel", "cap_close")
export declare function close(handle: Handle): i32;

// Ends all other copies of a capability, and all that was derived of it. Needs Right.REVOKE. 0, or an error.
//
//     const set = WaitSet.create();
//     const other = copy(set.handle, Right.ALL);
//     assert(revoke(set.handle) == 0);
//     assert(describe(other) == null);
@external("perdure_kernel", "cap_revoke")
export declare function revoke(handle: Handle): i32;

// How many places of the list are in use.
//
//     const before = count();
//     WaitSet.create();
//     assert(count() == before + 1);
@external("perdure_kernel", "cap_count")
export declare function count(): i32;

// Tells what a capability is to; null where the handle is bad, was revoked, or is to something that is gone.
//
//     const what = describe(granted("peer"))!;
//     assert(what.kind == 1 && what.badge == 0);
export function describe(handle: Handle): Description | null {
  const out = new Description();
  const at = changetype<usize>(out);
  if (describe_(handle, at) < 0) return null;
  // The id comes with its first byte first.
  out.idHigh = bswap(out.idHigh);
  out.idLow = bswap(out.idLow);
  return out;
}

// A semaphore: a count in memory of what can be taken, at an address of one's own or in a segment. Taking what is there and giving where
// nobody waits do not enter the kernel.
//
//     const s = new Semaphore(1);
//     assert(s.tryTake() && !s.tryTake());
//     assert(s.within(1000000) == -Errno.TIMEDOUT);
//     s.give(2);
//     assert(s.take() == 0 && s.available == 1);
export class Semaphore {
  private place: usize;

  // One of which so many can be taken, in memory of its own; or the one at `address`, as it is: 8 bytes, aligned to 4.
  constructor(count: u32 = 0, address: usize = 0) {
    this.place = address != 0 ? address : heap.alloc(8);
    if (address == 0) {
      store<u32>(this.place, count);
      store<u32>(this.place, 0, 4);
    }
  }

  // Where it lies.
  get address(): usize {
    return this.place;
  }
  // How many can be taken now.
  get available(): u32 {
    return load<u32>(this.place);
  }

  // Takes one where there is one.
  tryTake(): bool {
    const now = load<u32>(this.place);
    if (now == 0) return false;
    store<u32>(this.place, now - 1);
    return true;
  }

  // Takes one, waiting as long as it takes. 0, or an error: FAULT, INVAL; REVOKED and GONE of a segment.
  take(): i32 {
    return this.within(FOREVER);
  }

  // Takes one, waiting at most `timeout` ns. 0, or an error: TIMEDOUT, and those of take.
  within(timeout: i64): i32 {
    return this.tryTake() ? 0 : sem_wait(this.place, timeout);
  }

  // Gives `n`. 0, or an error.
  give(n: u32 = 1): i32 {
    store<u32>(this.place, load<u32>(this.place) + n);
    return load<u32>(this.place, 4) == 0 ? 0 : min(0, sem_wake(this.place));
  }
}

// Takes one of the first of several semaphores that has one, waiting at most `timeout` ns. Its index, or an error: TIMEDOUT, INVAL
// for more than 256.
//
//     const both = [new Semaphore(0), new Semaphore(1)];
//     assert(takeAny(both, FOREVER) == 1);
//     assert(takeAny(both, 0) == -Errno.TIMEDOUT);
export function takeAny(semaphores: Semaphore[], timeout: i64): i32 {
  const list = new StaticArray<u32>(semaphores.length);
  for (let i = 0; i < semaphores.length; i++) list[i] = <u32>semaphores[i].address;
  return wait_any(changetype<usize>(list), list.length, timeout);
}

// Any number of semaphores to wait for together, each with a number of the program's. What a wait tells, it has taken one of.
//
//     const set = WaitSet.create();
//     const lines = [new Semaphore(), new Semaphore(), new Semaphore()];
//     for (let i = 0; i < 3; i++) assert(set.add(lines[i], 100 + i) == 0);
//     lines[1].give();
//     assert(set.wait(FOREVER) == 1);
//     assert(set.told(0) == 101 && lines[1].available == 0);
//     assert(set.remove(lines[1]) == 0);
//     lines[1].give();
//     assert(set.wait(0) == 0);
export class WaitSet {
  // Where the numbers go that a wait tells.
  private out: StaticArray<u64> = new StaticArray<u64>(64);

  // The set that a handle names.
  constructor(public handle: Handle) {}

  // A new one. Its handle is below 0 where none could be made: -Errno.DQUOT.
  static create(): WaitSet {
    return new WaitSet(waitset_create());
  }

  // Makes a semaphore a member. 0, or an error: EXIST, DQUOT, NOTCAPABLE.
  add(semaphore: Semaphore, number: u64): i32 {
    return waitset_add(this.handle, semaphore.address, number);
  }

  // 0, or an error: NOENT where it is no member.
  remove(semaphore: Semaphore): i32 {
    return waitset_remove(this.handle, semaphore.address);
  }

  // Waits at most `timeout` ns for members to take of. Of how many it has, up to 64; 0 when the time was up. Or an error: GONE.
  wait(timeout: i64): i32 {
    return waitset_wait(this.handle, changetype<usize>(this.out), this.out.length, timeout);
  }

  // The number of a member that the last wait told, from 0 on.
  told(i: i32): u64 {
    return this.out[i];
  }
}
