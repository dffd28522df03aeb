// What a program in AssemblyScript needs of Perdure: the kernel's calls, and semaphores. Copy this file beside yours as
// `perdure.ts`, and import from it what you use; what is not used is not imported from the system.
//
// Results are 0 or more, or the negative of an error (`Errno`). Times are nanoseconds; below 0 is for ever. Each function is told
// with an example, which is compiled and run by the tests of Perdure.

// Errors, whose negatives calls give. Up to 76 they are those of WASI.
export namespace Errno {
  export const AGAIN: i32 = 6;
  export const BADF: i32 = 8;
  export const BADMSG: i32 = 9;
  export const BUSY: i32 = 10;
  export const CANCELED: i32 = 11;
  export const DEADLK: i32 = 16;
  export const DQUOT: i32 = 19;
  export const EXIST: i32 = 20;
  export const FAULT: i32 = 21;
  export const INVAL: i32 = 28;
  export const NOENT: i32 = 44;
  export const NOMEM: i32 = 48;
  export const NOSPC: i32 = 51;
  export const NOTSUP: i32 = 58;
  export const PERM: i32 = 63;
  export const ROFS: i32 = 69;
  export const TIMEDOUT: i32 = 73;
  export const NOTCAPABLE: i32 = 76;
  export const REVOKED: i32 = 128;
  export const GONE: i32 = 129;
  export const FAULTED: i32 = 130;
  export const STOPPED: i32 = 131;
  export const REENTERED: i32 = 132;
  export const DEPTH: i32 = 133;
  export const FROZEN: i32 = 134;
  export const LEFT: i32 = 135;
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
@external("perdure_kernel", "cap_sturdy")
declare function cap_sturdy(handle: i32, rights: i32, out: usize): i32;
@external("perdure_kernel", "cap_restore")
declare function cap_restore(text: usize, length: i32): i32;
@external("perdure_kernel", "sturdy_forget")
declare function sturdy_forget(text: usize, length: i32): i32;
@external("perdure_kernel", "account_divide")
declare function account_divide(handle: i32, parts: usize): i32;
@external("perdure_kernel", "account_status")
declare function account_status(handle: i32, out: usize): i32;
@external("perdure_kernel", "ring_create")
declare function ring_create(memory: usize, entries: u32, flags: u32): i32;
@external("perdure_kernel", "ring_enter")
declare function ring_enter(ring: i32, submit: u32, complete: u32, timeout: i64): i32;
@external("perdure_kernel", "seg_map")
declare function seg_map(segment: i32, offset: u64, bytes: u64, rights: i32, near: usize): i64;
@external("perdure_kernel", "domain_create")
declare function domain_create(program: i32, name: usize, length: i32, account: i32, flags: i32): i32;
@external("perdure_kernel", "domain_grant")
declare function domain_grant(domain: i32, name: usize, length: i32, what: i32, rights: i32): i32;
@external("perdure_kernel", "domain_start")
declare function domain_start(domain: i32, name: usize, length: i32): i32;
@external("perdure_kernel", "domain_status")
declare function domain_status(domain: i32, out: usize): i32;
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

// A text that gives a copy of the capability back, with at most those rights, to whoever has the text, also after a restart. Needs
// Right.SHARE. null where none could be made.
//
//     const text = sturdy(granted("peer"), Right.READ)!;
//     assert(text.startsWith("perdure:"));
export function sturdy(handle: Handle, rights: i32): string | null {
  const out = new StaticArray<u8>(84);
  const bytes = cap_sturdy(handle, rights, changetype<usize>(out));
  return bytes < 0 ? null : String.UTF8.decodeUnsafe(changetype<usize>(out), bytes);
}

// What such a text stands for. A handle, or an error: INVAL where it is none, NOENT, REVOKED, GONE, DQUOT.
//
//     const again = restore(sturdy(granted("peer"), Right.READ)!);
//     assert(describe(again)!.rights == Right.READ);
//     assert(restore("open sesame") == -Errno.INVAL);
export function restore(text: string): Handle {
  const bytes = String.UTF8.encode(text);
  return cap_restore(changetype<usize>(bytes), bytes.byteLength);
}

// Ends such a text that the program's account pays for. 0, or an error: NOTCAPABLE where another does.
//
//     const text = sturdy(granted("peer"), Right.READ)!;
//     assert(forget(text) == 0);
//     assert(restore(text) == -Errno.NOENT);
export function forget(text: string): i32 {
  const bytes = String.UTF8.encode(text);
  return sturdy_forget(changetype<usize>(bytes), bytes.byteLength);
}

// What is counted.
export namespace Resource {
  export const MEMORY: i32 = 0;
  export const CPU: i32 = 1;
  export const CAPABILITIES: i32 = 2;
  export const REQUESTS: i32 = 3;
  export const ENTRIES: i32 = 4;
  export const DOMAINS: i32 = 5;
  export const OUTBOX: i32 = 6;
  export const COUNT: i32 = 7;
}
// A limit that is none.
export const UNLIMITED: u64 = 9007199254740991;

// The account that pays for what the program does. A handle, or an error.
//
//     assert(accountOwn() > 0);
@external("perdure_kernel", "account_own")
export declare function accountOwn(): Handle;

// Takes a part off what is left of an account, by Resource, and makes an account of it. A handle, or an error: DQUOT, DEPTH.
//
//     const parts = new StaticArray<u64>(Resource.COUNT);
//     parts[Resource.MEMORY] = 65536;
//     assert(accountDivide(accountOwn(), parts) > 0);
export function accountDivide(account: Handle, parts: StaticArray<u64>): Handle {
  return parts.length < Resource.COUNT ? -Errno.INVAL : account_divide(account, changetype<usize>(parts));
}

// The limit of each Resource and what is used of it, in turn; empty where the handle is bad or may not be read.
//
//     const shares = accountStatus(accountOwn());
//     assert(shares[2 * Resource.MEMORY + 1] <= shares[2 * Resource.MEMORY]);
export function accountStatus(account: Handle): StaticArray<u64> {
  const out = new StaticArray<u64>(2 * Resource.COUNT);
  return account_status(account, changetype<usize>(out)) < 0 ? new StaticArray<u64>(0) : out;
}

// How the last call through a gate ended: 0 where it returned, else the error (FAULTED, GONE, STOPPED, REVOKED, ...), and its
// results are then zero. A program that does not use this traps where such a call fails. Procedures of a domain that was granted as
// `peer` are declared with @external("peer", "NAME"), and a program's own are offered with @gate("NAME") and the transform gates.mjs.
//
//     @gate("add")
//     export function add(a: i32, b: i32): i32 { return a + b; }
//     @external("peer", "add")
//     declare function peerAdd(a: i32, b: i32): i32;
//     export function main(): void {
//       assert(peerAdd(2, 3) == 5 && gateError() == 0);
//     }
@external("perdure_kernel", "gate_error")
export declare function gateError(): i32;

// Ends what the program is doing, not the program: its domain stays, and its procedures can be called. Does not return; in a call
// from another domain, which can only return, it gives -Errno.INVAL.
//
//     @gate("leave")
//     export function leave(): i32 { return activationEnd(); }
//     @external("peer", "leave")
//     declare function peerLeave(): i32;
//     export function main(): void {
//       assert(peerLeave() == -Errno.INVAL);
//     }
@external("perdure_kernel", "activation_end")
export declare function activationEnd(): i32;

@external("perdure_kernel", "gate_own")
declare function gate_own(name: usize, length: i32): i32;

// A procedure of the program's own, as a capability that can be passed. A handle, or -Errno.NOENT.
//
//     assert(gateOwn("no such procedure") == -Errno.NOENT);
export function gateOwn(name: string): Handle {
  const text = String.UTF8.encode(name);
  return gate_own(changetype<usize>(text), text.byteLength);
}

@external("perdure_kernel", "gate_of")
declare function gate_of(domain: Handle, name: usize, length: i32): i32;

// A procedure of another domain, as a capability that is revoked with that to the domain. Needs Right.INVOKE. A handle, or an error.
//
//     assert(gateOf(granted("peer"), "no such procedure") == -Errno.NOENT);
export function gateOf(domain: Handle, name: string): Handle {
  const text = String.UTF8.encode(name);
  return gate_of(domain, changetype<usize>(text), text.byteLength);
}

// A kind of capability made of gates, the last two of which may be 0: `check(badge: u64, rights: u32): i32` gives 0 before each use that is allowed,
// else the error that whoever uses it is told; `derive(badge: u64, rights: u32): i64` the badge of what is derived; `revoked(badge: u64): void` is told.
// A handle, or an error.
//
//     let uses = 0;
//     @gate("check!nested")
//     export function check(badge: u64, rights: u32): i32 {
//       return badge == 7 && uses++ < 1 ? 0 : Errno.NOTCAPABLE;
//     }
//     export function main(): void {
//       const out = new StaticArray<u8>(1);
//       const kind = kindCreate(gateOwn("check"), 0, 0);
//       const once = kindWrap(kind, segmentCreate(10), Right.ALL, 7);
//       assert(segmentRead(once, 0, changetype<usize>(out), 1) == 1);
//       assert(segmentRead(once, 0, changetype<usize>(out), 1) == -Errno.NOTCAPABLE);
//     }
@external("perdure_kernel", "kind_create")
export declare function kindCreate(check: Handle, derive: Handle, revoked: Handle): Handle;

// A capability of a kind before another one, with at most those rights, which the kind knows by `badge`. Needs Right.INVOKE of the kind and
// Right.DERIVE of the target. A handle, or an error.
//
//     assert(kindWrap(12345, granted("peer"), Right.ALL, 0) == -Errno.BADF);
@external("perdure_kernel", "kind_wrap")
export declare function kindWrap(kind: Handle, target: Handle, rights: i32, badge: u64): Handle;

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

  // Takes one, waiting as long as it takes. 0, or an error: INVAL; FAULT of what may not be used (any more); GONE.
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

// A new segment of so many bytes, all 0: memory that several domains may have at once. A handle, or an error: DQUOT, NOSPC.
//
//     assert(segmentSize(segmentCreate(100000)) == 100000);
@external("perdure_kernel", "seg_create")
export declare function segmentCreate(bytes: u64): Handle;

// Its bytes, or an error.
//
//     assert(segmentSize(12345) == -Errno.BADF);
@external("perdure_kernel", "seg_size")
export declare function segmentSize(segment: Handle): i64;

// Makes it larger; mappings stay as long as they were. Needs Right.MANAGE. 0, or an error.
//
//     const segment = segmentCreate(10);
//     assert(segmentGrow(segment, 1000000) == 0 && segmentSize(segment) == 1000000);
@external("perdure_kernel", "seg_grow")
export declare function segmentGrow(segment: Handle, bytes: u64): i32;

// Maps `bytes` of a segment from `offset` on, a multiple of 4096, for reading, or with Right.WRITE for writing as well. The address, from 2 GiB
// up, or an error: NOTCAPABLE, INVAL, NOMEM. What is mapped is used by load and store; once the capability is revoked they trap.
//
//     const segment = segmentCreate(65536);
//     const at = <usize>segmentMap(segment, 0, 65536, Right.READ | Right.WRITE);
//     store<u32>(at, 7, 65532);
//     assert(load<u32>(at, 65532) == 7 && load<u32>(at) == 0);
export function segmentMap(segment: Handle, offset: u64, bytes: u64, rights: i32): i64 {
  return seg_map(segment, offset, bytes, rights, 0);
}

// Ends the mapping that begins at an address. 0, or -Errno.INVAL where none does.
//
//     const at = <usize>segmentMap(segmentCreate(4096), 0, 4096, Right.READ);
//     assert(segmentUnmap(at) == 0 && segmentUnmap(at) == -Errno.INVAL);
@external("perdure_kernel", "seg_unmap")
export declare function segmentUnmap(address: usize): i32;

// Nobody ever writes it again. Needs Right.MANAGE. 0, or an error.
//
//     const segment = segmentCreate(4096);
//     assert(segmentSeal(segment) == 0);
//     assert(segmentMap(segment, 0, 4096, Right.READ | Right.WRITE) < 0);
@external("perdure_kernel", "seg_seal")
export declare function segmentSeal(segment: Handle): i32;

// Nobody but the program writes it until it thaws it, closes the handle or ends. Needs Right.MANAGE. 0, or an error: BUSY.
//
//     const segment = segmentCreate(4096);
//     assert(segmentFreeze(segment) == 0 && segmentThaw(segment) == 0);
@external("perdure_kernel", "seg_freeze")
export declare function segmentFreeze(segment: Handle): i32;

// Ends that. 0, or an error.
//
//     const segment = segmentCreate(4096);
//     segmentFreeze(segment);
//     assert(segmentThaw(segment) == 0);
@external("perdure_kernel", "seg_thaw")
export declare function segmentThaw(segment: Handle): i32;

// A segment with the same bytes: 64 KiB are copied when one of the two first writes there. Needs Right.READ. A handle, or an error.
//
//     const segment = segmentCreate(4096);
//     assert(segmentSize(segmentCopy(segment)) == 4096);
@external("perdure_kernel", "seg_copy")
export declare function segmentCopy(segment: Handle): Handle;

// Copies bytes to memory without mapping the segment, fewer at its end. Needs Right.READ. How many, or an error.
//
//     const out = new StaticArray<u8>(8);
//     assert(segmentRead(segmentCreate(10), 6, changetype<usize>(out), 8) == 4);
@external("perdure_kernel", "seg_read")
export declare function segmentRead(segment: Handle, offset: u64, out: usize, bytes: u32): i32;

// Copies bytes from memory, all or none. Needs Right.WRITE. How many, or an error: INVAL, ROFS, BUSY.
//
//     const text = String.UTF8.encode("hello");
//     const segment = segmentCreate(10);
//     assert(segmentWrite(segment, 0, changetype<usize>(text), 5) == 5);
//     assert(segmentWrite(segment, 8, changetype<usize>(text), 5) == -Errno.INVAL);
@external("perdure_kernel", "seg_write")
export declare function segmentWrite(segment: Handle, offset: u64, from: usize, bytes: u32): i32;

// How a domain is made.
export namespace DomainFlag {
  // It is destroyed when the domain that made it ends.
  export const LINKED: i32 = 1;
  // A restart ends it.
  export const VOLATILE: i32 = 2;
  // It goes on to exist when its function has returned or trapped, and can be started again.
  export const RESIDENT: i32 = 4;
}

// The program that runs. A handle, or an error.
//
//     assert(describe(programOwn())!.kind == 2);
@external("perdure_kernel", "program_own")
export declare function programOwn(): Handle;

// A new domain of a program, in which nothing has run. `name` is told after the maker's own, "" for a number; `account` pays for it, 0 for the
// maker's own. `flags`: of DomainFlag. A handle, or an error.
//
//     export function work(): void {
//       const at = <usize>segmentMap(granted("memory"), 0, 4096, Right.READ | Right.WRITE);
//       store<u32>(at, 42, 64);
//       new Semaphore(0, at).give();
//     }
//     export function main(): void {
//       const memory = segmentCreate(4096);
//       const at = <usize>segmentMap(memory, 0, 4096, Right.READ | Right.WRITE);
//       const worker = domainCreate(programOwn(), "worker", 0, DomainFlag.LINKED);
//       assert(domainGrant(worker, "memory", memory, Right.READ | Right.WRITE | Right.MAP) == 0);
//       assert(domainStart(worker, "work") == 0);
//       assert(new Semaphore(0, at).take() == 0 && load<u32>(at, 64) == 42);
//     }
export function domainCreate(program: Handle, name: string, account: Handle, flags: i32): Handle {
  const text = String.UTF8.encode(name);
  return domain_create(program, changetype<usize>(text), text.byteLength, account, flags);
}

// Gives a domain a copy of a capability under a name. Needs Right.MANAGE of it and Right.SHARE of what is given. 0, or an error.
//
//     const child = domainCreate(programOwn(), "", 0, 1);
//     assert(domainGrant(child, "friend", granted("peer"), Right.INVOKE) == 0);
export function domainGrant(domain: Handle, name: string, what: Handle, rights: i32): i32 {
  const text = String.UTF8.encode(name);
  return domain_grant(domain, changetype<usize>(text), text.byteLength, what, rights);
}

// Lets a domain call an exported function without parameters. Needs Right.MANAGE. 0, or an error: NOENT, BUSY.
//
//     const child = domainCreate(programOwn(), "", 0, 1);
//     assert(domainStart(child, "no such function") == -Errno.NOENT);
export function domainStart(domain: Handle, name: string): i32 {
  const text = String.UTF8.encode(name);
  return domain_start(domain, changetype<usize>(text), text.byteLength);
}

// Suspends a domain, whatever it is doing. Needs Right.MANAGE. 0, or -Errno.BUSY where there is nothing to suspend. Who stops itself
// goes on from here when another has resumed it; who stops one that is calling it lets that go on no further.
//
//     assert(domainStop(domainCreate(programOwn(), "", 0, 1)) == -Errno.BUSY);
@external("perdure_kernel", "domain_stop")
export declare function domainStop(domain: Handle): i32;

// Lets a suspended domain go on. Needs Right.MANAGE. 0, or -Errno.BUSY.
//
//     assert(domainResume(domainCreate(programOwn(), "", 0, 1)) == -Errno.BUSY);
@external("perdure_kernel", "domain_resume")
export declare function domainResume(domain: Handle): i32;

// Ends a domain and gives everything back that it had. Needs Right.MANAGE. 0, or an error.
//
//     const child = domainCreate(programOwn(), "", 0, 0);
//     assert(domainDestroy(child) == 0 && domainDestroy(child) == -Errno.GONE);
@external("perdure_kernel", "domain_destroy")
export declare function domainDestroy(domain: Handle): i32;

// Waits until a domain has nothing to run. Needs Right.READ. 0, or an error: DEADLK for the program's own.
//
//     export function job(): void {}
//     export function main(): void {
//       const child = domainCreate(programOwn(), "job", 0, 1);
//       assert(domainStart(child, "job") == 0);
//       assert(domainWait(child) == 0);
//       assert(domainState(child) == 5);
//     }
@external("perdure_kernel", "domain_wait")
export declare function domainWait(domain: Handle): i32;

// What a domain does: 1 nothing yet, 2 it is ready, 3 it runs, 4 it waits, 5 it has ended, 6 it is suspended, 7 only its procedures can be
// called. Needs Right.READ. Or an error.
//
//     assert(domainState(domainCreate(programOwn(), "", 0, 1)) == 1);
export function domainState(domain: Handle): i32 {
  const out = new StaticArray<u32>(8);
  const bad = domain_status(domain, changetype<usize>(out));
  return bad < 0 ? bad : <i32>out[0];
}

// What a submission asks for.
export namespace Operation {
  export const NOP: i32 = 0;
  export const OPEN: i32 = 1;
  export const READ: i32 = 2;
  export const WRITE: i32 = 3;
  export const LIST: i32 = 4;
  export const DESCRIBE: i32 = 5;
  export const CREATE: i32 = 6;
  export const REMOVE: i32 = 7;
  export const RENAME: i32 = 8;
  export const LINK: i32 = 9;
  export const CHANGE: i32 = 10;
  export const READ_LINK: i32 = 11;
  export const SYNC: i32 = 12;
  export const WAIT: i32 = 13;
  export const INVOKE: i32 = 14;
  export const MAP: i32 = 15;
  export const SHARE: i32 = 16;
  export const CANCEL: i32 = 17;
  export const CLOSE: i32 = 18;
  export const TIMEOUT: i32 = 19;
  export const REPLY: i32 = 20;
  // In requests only: the client has given up the request of this number; nobody holds the object any more.
  export const CANCELED: i32 = 254;
  export const RELEASED: i32 = 255;
}

// Bits of a submission's flags.
export namespace Submit {
  // The next one begins when this one has succeeded, and is CANCELED where it fails.
  export const LINK: i32 = 1;
  // Begins when all before it have completed; those behind it wait for it.
  export const DRAIN: i32 = 2;
  // `first` is a list of buffers: pairs of u32, address and bytes. `firstLength` says how many.
  export const VECTOR: i32 = 4;
  // No completion where it succeeds.
  export const QUIET: i32 = 8;
  // Of read and write: `first` is part of a segment; see Submission.useSegment.
  export const SEGMENT: i32 = 16;
}

// Bits of a submission's options.
export namespace Option {
  export const CREATE: i32 = 1;
  export const EXCLUSIVE: i32 = 2;
  export const TRUNCATE: i32 = 4;
  export const DIRECTORY: i32 = 8;
  export const FOLLOW: i32 = 16;
  export const READ: i32 = 32;
  export const WRITE: i32 = 64;
  export const SYMBOLIC: i32 = 128;
  // Of change: what of the three numbers counts.
  export const SIZE: i32 = 256;
  export const ACCESSED: i32 = 512;
  export const MODIFIED: i32 = 1024;
  // Of reply: what is given is no longer the server's.
  export const MOVE: i32 = 2048;
  // Of invoke: what it brings is lent until it has completed; `other` is a number of handles, the first words of `first`.
  export const LEND: i32 = 4096;
  export const HANDLES: i32 = 8192;
}

// What a table serves: which operations may reach it.
export namespace TableKind {
  export const STREAM: i32 = 1;
  export const FILE: i32 = 2;
  export const GENERIC: i32 = 3;
}

// Offsets that say something else: none for a stream; at the end of a file.
export const STREAM_OFFSET: u64 = u64.MAX_VALUE;
export const APPEND_OFFSET: u64 = u64.MAX_VALUE - 1;

// An operation to be asked for: what it does not use stays 0. Buffers are addresses; what is there has to stay until it has completed.
//
//     const ask = new Submission(Operation.TIMEOUT);
//     ask.offset = 1000000;
//     assert(new Ring(1).call(ask) == 0);
@unmanaged
export class Submission {
  operation: u8 = 0;
  flags: u8 = 0;
  method: u16 = 0;
  handle: Handle = 0;
  user: u64 = 0;
  first: u32 = 0;
  firstLength: u32 = 0;
  offset: u64 = 0;
  limit: u64 = 0;
  second: u32 = 0;
  secondLength: u32 = 0;
  other: Handle = 0;
  rights: u32 = 0;
  options: u32 = 0;
  reserved: u32 = 0;

  constructor(operation: i32) {
    this.operation = <u8>operation;
  }

  // Has a read or write use part of a segment as its buffer, which need not be mapped. Needs Right.READ for a write, Right.WRITE for a
  // read. Whoever serves the object can be lent the segment itself, with Right.SHARE, until it has answered.
  //
  //     const from = segmentCreate(100);
  //     const to = segmentCreate(100);
  //     const text = String.UTF8.encode("hello");
  //     segmentWrite(from, 50, changetype<usize>(text), 5);
  //     const ask = new Submission(Operation.WRITE);
  //     ask.handle = to;
  //     ask.useSegment(from, 50, 5);
  //     assert(new Ring(1).call(ask) == 5);
  //     const out = new StaticArray<u8>(1);
  //     assert(segmentRead(to, 0, changetype<usize>(out), 1) == 1 && out[0] == 104);
  useSegment(segment: Handle, offset: u64, bytes: u32): void {
    this.flags |= <u8>Submit.SEGMENT;
    this.first = segment;
    this.firstLength = bytes;
    this.second = <u32>offset;
    this.secondLength = <u32>(offset >> 32);
  }
}

// Queues by which a program asks for operations on objects, many with one call, and, where it serves, for requests of its clients.
//
//     const ring = new Ring(8);
//     for (let i: u64 = 1; i <= 3; i++) {
//       const ask = new Submission(Operation.NOP);
//       ask.user = i;
//       assert(ring.put(ask));
//     }
//     assert(ring.enter(3, FOREVER) == 3);
//     for (let i: u64 = 1; i <= 3; i++) assert(ring.take() && ring.user == i && ring.result == 0);
//     assert(!ring.take());
//     const bad = new Submission(Operation.READ);
//     bad.handle = 12345;
//     assert(ring.call(bad) == -Errno.BADF);
export class Ring {
  // Below 0 where it could not be made.
  handle: Handle;
  // Of the completion that was taken last.
  user: u64 = 0;
  result: i32 = 0;
  value: i64 = 0;
  private memory: usize;
  private tail: u32 = 0;

  // `entries` is a power of two; `serves`: it takes requests for objects that the program serves.
  constructor(private entries: u32, private serves: bool = false) {
    const bytes = 128 + entries * (serves ? 384 : 128);
    this.memory = (heap.alloc(bytes + 63) + 63) & ~63;
    this.handle = ring_create(this.memory, entries, serves ? 1 : 0);
  }

  // Puts a copy of a submission into the queue; false where that is full.
  put(ask: Submission): bool {
    if (this.tail - load<u32>(this.memory, 16) >= this.entries) return false;
    const at = this.memory + 128 + 64 * <usize>(this.tail & (this.entries - 1));
    memory.copy(at, changetype<usize>(ask), 64);
    this.tail++;
    return true;
  }

  // Puts in a wait for a semaphore: it completes with 0 when it has taken one, in its turn among all who wait there. False where the
  // queue is full.
  //
  //     const ring = new Ring(8);
  //     const letters = new Semaphore(0);
  //     assert(ring.putTake(letters, 5));
  //     ring.enter(0, 0);
  //     letters.give();
  //     ring.enter(1, FOREVER);
  //     assert(ring.take() && ring.user == 5 && ring.result == 0 && !letters.tryTake());
  putTake(semaphore: Semaphore, user: u64): bool {
    const ask = new Submission(Operation.WAIT);
    ask.first = <u32>semaphore.address;
    ask.user = user;
    const isIn = this.put(ask);
    heap.free(changetype<usize>(ask));
    return isIn;
  }

  // Puts in a wait for a wait set: it completes with 0 when it has taken one of a member, whose number is then `value`. False where the
  // queue is full.
  //
  //     const ring = new Ring(8);
  //     const set = WaitSet.create();
  //     const letters = new Semaphore(1);
  //     assert(set.add(letters, 77) == 0 && ring.putWait(set, 5));
  //     ring.enter(1, FOREVER);
  //     assert(ring.take() && ring.user == 5 && ring.result == 0 && ring.value == 77);
  putWait(set: WaitSet, user: u64): bool {
    const ask = new Submission(Operation.WAIT);
    ask.handle = set.handle;
    ask.user = user;
    const isIn = this.put(ask);
    heap.free(changetype<usize>(ask));
    return isIn;
  }

  // Hands over what was put in, and waits until so many completions or requests can be taken, at most `timeout` ns. How many were
  // handed over, or an error.
  enter(complete: u32, timeout: i64): i32 {
    const filled = this.tail - load<u32>(this.memory, 16);
    store<u32>(this.memory, this.tail, 64);
    return ring_enter(this.handle, filled, complete, timeout);
  }

  // Takes a completion: `user`, `result` and `value` tell it. False where there is none.
  take(): bool {
    const head = load<u32>(this.memory, 68);
    if (head == load<u32>(this.memory, 20)) return false;
    const at = this.memory + 128 + 64 * <usize>this.entries + 32 * <usize>(head & (2 * this.entries - 1));
    this.user = load<u64>(at);
    this.result = load<i32>(at, 8);
    this.value = load<i64>(at, 16);
    store<u32>(this.memory, head + 1, 68);
    return true;
  }

  // Has one operation carried out and waits for it, on a ring that has nothing else under way. Its result.
  call(ask: Submission): i32 {
    if (!this.put(ask)) return -Errno.BUSY;
    do {
      const taken = this.enter(1, FOREVER);
      if (taken < 0) return taken;
    } while (!this.take());
    return this.result;
  }

  // The address of a copy of the next request, laid out as abi/ring.ts says, 0 where there is none. Give it back with heap.free.
  request(): usize {
    const head = load<u32>(this.memory, 72);
    if (!this.serves || head == load<u32>(this.memory, 24)) return 0;
    const copied = heap.alloc(256);
    const at = this.memory + 128 + 128 * <usize>this.entries + 256 * <usize>(head & (this.entries - 1));
    memory.copy(copied, at, 256);
    store<u32>(this.memory, head + 1, 72);
    return copied;
  }
}

// A table, which serves objects through a ring that serves. `kind`: of TableKind; a generic one has so many `methods` of its own. A handle, or
// an error.
//
//     const ring = new Ring(8, true);
//     const object = tableObject(tableCreate(ring.handle, TableKind.GENERIC, 10), 42, Right.ALL);
//     const ask = new Submission(Operation.INVOKE);
//     ask.handle = object;
//     ask.method = 3;
//     assert(ring.put(ask));
//     ring.enter(1, FOREVER);
//     const request = ring.request();
//     assert(load<u64>(request, 8) == 42 && load<u16>(request, 26) == 3);
//     const answer = new Submission(Operation.REPLY);
//     answer.flags = <u8>Submit.QUIET;
//     answer.offset = load<u64>(request);
//     answer.rights = 5;
//     heap.free(request);
//     assert(ring.put(answer));
//     ring.enter(1, FOREVER);
//     assert(ring.take() && ring.result == 5);
@external("perdure_kernel", "table_create")
export declare function tableCreate(ring: Handle, kind: i32, methods: i32): Handle;

// A capability to an object of a table, which its requests name by `number`, at most 2^53 - 1. A handle, or an error.
//
//     const table = tableCreate(new Ring(8, true).handle, TableKind.STREAM, 0);
//     assert(tableObject(table, 7, Right.READ | Right.SHARE) > 0);
@external("perdure_kernel", "table_object")
export declare function tableObject(table: Handle, number: u64, rights: i32): Handle;

// Copies of what the client of a request gives, from `offset` on. How many bytes, or an error: NOENT where nobody waits for an answer any more.
//
//     assert(requestRead(12345, 0, 0, 0) < 0);
@external("perdure_kernel", "request_read")
export declare function requestRead(number: u64, offset: u32, out: usize, bytes: u32): i32;

// Takes number `which` of the capabilities that a request brings. What is lent, as the segment of a read or write, can be taken once, and
// its handle is closed when the request ends. A handle, or an error: NOENT as of requestRead, INVAL where the request brings none, EXIST,
// NOTCAPABLE, DQUOT; or what the client's handle gives.
//
//     const ring = new Ring(8, true);
//     const ask = new Submission(Operation.WRITE);
//     ask.handle = tableObject(tableCreate(ring.handle, 1, 0), 1, Right.ALL);
//     ask.useSegment(segmentCreate(1000), 0, 1000);
//     assert(ring.put(ask));
//     ring.enter(1, FOREVER);
//     const request = ring.request();
//     assert(load<u32>(request, 72) == 1);
//     assert(segmentSize(requestTake(load<u64>(request), 0)) == 1000);
//     assert(requestTake(load<u64>(request), 0) == -Errno.EXIST);
//     heap.free(request);
@external("perdure_kernel", "request_take")
export declare function requestTake(number: u64, which: u32): Handle;

// Writes to what the client of a request has room for, from `offset` on. How many bytes, or an error as of requestRead.
//
//     assert(requestWrite(12345, 0, 0, 0) < 0);
@external("perdure_kernel", "request_write")
export declare function requestWrite(number: u64, offset: u32, from: usize, bytes: u32): i32;

// A channel end: messages between two domains through memory that both have mapped, as perdure/channel.h has it; the two are understood by one another.
// One end sends, the other receives.
//
//     const memory = (heap.alloc(128 + 4 * 128 + 63) + 63) & ~63;
//     const sender = new Channel(memory, 4, 64, true);
//     const receiver = new Channel(memory, 4, 64);
//     const text = String.UTF8.encode("hello");
//     assert(sender.send(changetype<usize>(text), 5, FOREVER) == 0);
//     const out = new StaticArray<u8>(64);
//     assert(receiver.receive(changetype<usize>(out), 64, FOREVER) == 5 && out[0] == 104);
//     assert(receiver.receive(changetype<usize>(out), 64, 0) == -Errno.TIMEDOUT);
export class Channel {
  private full: Semaphore;
  private empty: Semaphore;
  private position: u32 = 0;

  // `slots`, a power of two, of `slotBytes`, a multiple of 64, at an address that is one too. Who makes it does so before the other waits.
  constructor(private at: usize, private slots: u32, private slotBytes: u32, make: bool = false) {
    this.full = new Semaphore(0, at);
    this.empty = new Semaphore(0, at + 64);
    if (make) {
      memory.fill(at, 0, 128);
      store<u32>(at, slots, 64);
    }
  }

  private slot(): usize {
    return this.at + 128 + <usize>(this.position & (this.slots - 1)) * (64 + <usize>this.slotBytes);
  }

  // Sends a copy, waiting at most `timeout` ns for an empty slot. 0, or an error: TIMEDOUT, INVAL where it is too long.
  send(from: usize, bytes: u32, timeout: i64): i32 {
    if (bytes > this.slotBytes) return -Errno.INVAL;
    const bad = this.empty.within(timeout);
    if (bad != 0) return bad;
    const slot = this.slot();
    memory.copy(slot + 64, from, bytes);
    store<u32>(slot, bytes);
    this.position++;
    return this.full.give();
  }

  // Receives a copy of a message's first `capacity` bytes, waiting at most `timeout` ns. Its bytes, or an error: TIMEDOUT, BADMSG where
  // the other side has written a length that cannot be.
  receive(out: usize, capacity: u32, timeout: i64): i32 {
    const bad = this.full.within(timeout);
    if (bad != 0) return bad;
    const slot = this.slot();
    const bytes = load<u32>(slot); // once: the other side may change it
    const fits = bytes <= this.slotBytes;
    if (fits) memory.copy(out, slot + 64, min(bytes, capacity));
    this.position++;
    const given = this.empty.give();
    return !fits ? -Errno.BADMSG : given < 0 ? given : <i32>bytes;
  }
}
