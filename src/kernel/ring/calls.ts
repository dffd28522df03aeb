/**
 * The calls of rings and tables (abi/ring.ts): making them, entering them, and what a server does with a request beside
 * answering it. Each decodes first, then acts.
 */
import { RESOURCE } from '../../abi/account.ts';
import { ERRNO } from '../../abi/errno.ts';
import { OBJECT, RIGHT, RIGHTS_ALL } from '../../abi/objects.ts';
import { RING_FLAGS_ALL, ringBytes, TABLE_KIND } from '../../abi/ring.ts';
import { RING_ENTRIES_MAX, TRANSFER_MAX_BYTES } from '../../base/limits.ts';
import { mayCharge } from '../account/account.ts';
import type { Caller } from '../caller.ts';
import type { KernelCalls } from '../calls.ts';
import type { Core } from '../core.ts';
import type { Ring } from './ring.ts';

export function ringCalls(core: Core): KernelCalls {
  return {
    ring_create: {
      type: 'iii=i',
      call: (caller, pointer: number, entries: number, flags: number) =>
        create(core, caller, pointer >>> 0, entries >>> 0, flags),
    },
    ring_enter: {
      type: 'iiiI=i',
      call: (caller, handle: number, submit: number, complete: number, timeout: bigint) =>
        enter(core, caller, handle, submit >>> 0, complete >>> 0, timeout),
    },
    table_create: {
      type: 'iii=i',
      call: (_, ring: number, kind: number, methods: number) => createTable(core, ring, kind, methods >>> 0),
    },
    table_object: {
      type: 'iIi=i',
      call: (_, table: number, number: bigint, rights: number) =>
        createObject(core, table, BigInt.asUintN(64, number), rights),
    },
    request_take: {
      type: 'Ii=i',
      call: (_, number: bigint, which: number) =>
        core.rings.tables.take(core.caller(), BigInt.asUintN(64, number), which >>> 0),
    },
    request_read: {
      type: 'Iiii=i',
      call: (caller, number: bigint, offset: number, pointer: number, length: number) =>
        transfer(core, caller, number, offset >>> 0, pointer, length >>> 0, false),
    },
    request_write: {
      type: 'Iiii=i',
      call: (caller, number: bigint, offset: number, pointer: number, length: number) =>
        transfer(core, caller, number, offset >>> 0, pointer, length >>> 0, true),
    },
  };
}

function create(core: Core, caller: Caller, pointer: number, entries: number, flags: number): number {
  const domain = core.caller();
  const power = entries > 0 && (entries & (entries - 1)) === 0;
  if (!power || entries > RING_ENTRIES_MAX || pointer % 64 !== 0) return -ERRNO.INVAL;
  if ((flags & ~RING_FLAGS_ALL) !== 0) return -ERRNO.INVAL;
  // The memory of a program in a process of its own is there while it runs, and not where rings are written.
  if (domain.module.alone !== undefined || domain.own !== null) return -ERRNO.NOTSUP;
  if (caller.range(pointer, ringBytes(entries, flags), true) < 0) return -ERRNO.FAULT;
  if (!mayCharge(core.space, domain.account, RESOURCE.entries, entries)) return -ERRNO.DQUOT;
  const bad = core.clists.reserve(domain, 1);
  if (bad !== 0) return bad;
  const ring = core.rings.table.create(domain, pointer, entries, flags);
  try {
    const handle = core.clists.make(domain, OBJECT.ring, ring.at, 0, RIGHTS_ALL);
    ring.format();
    return handle;
  } catch (error) {
    core.rings.close(ring);
    throw error;
  }
}

/**
 * The ring at a handle; -NOTCAPABLE where it lies in another domain's memory.
 * @param asked the kinds before it have been asked for this call
 */
function ringOf(core: Core, handle: number, asked = false): Ring | number {
  const domain = core.caller();
  const found = asked
    ? core.clists.look(domain, handle, RIGHT.invoke, OBJECT.ring)
    : core.kinds.find(handle, RIGHT.invoke, OBJECT.ring);
  if (typeof found === 'number') return found;
  const ring = core.rings.ring(core.objects.a(found.object));
  if (ring === undefined) return -ERRNO.GONE;
  if (ring.domainId !== domain.id) return -ERRNO.NOTCAPABLE;
  ring.domain = domain;
  return ring;
}

/**
 * Takes `submit` submissions at most, then waits until so many completions and requests can be taken out, or nothing is
 * under way that could become one, or the time is over. Made again after a wait: scratch word 0 is what was submitted, plus
 * one; word 1 the deadline.
 */
function enter(
  core: Core,
  caller: Caller,
  handle: number,
  submit: number,
  complete: number,
  timeout: bigint,
): number {
  const before = Number(caller.getScratch(0));
  const ring = ringOf(core, handle, before > 0);
  if (typeof ring === 'number') return ring;
  const { rings } = core;
  rings.work();
  rings.flush(ring);
  if (ring.serves) rings.tables.deliver(ring);
  if (!ring.isThere) return -ERRNO.FAULT;
  const submitted = before > 0 ? before - 1 : submit === 0 ? 0 : rings.submit(ring, core.caller(), submit);
  if (submitted < 0 || complete === 0 || ring.closed) return submitted;
  const indices = ring.read();
  if (typeof indices === 'number') return indices;
  const wanted = Math.min(complete, 2 * ring.entries);
  const nothing = ring.operations.size === 0 && !rings.tables.serves(ring);
  if (indices.unread + ring.unreadRequests() >= wanted || nothing || timeout === 0n) return submitted;
  const deadline = before > 0 ? caller.getScratch(1) : timeout < 0n ? 0n : caller.now() + timeout;
  if (deadline !== 0n && caller.now() >= deadline) return submitted;
  caller.setScratch(0, BigInt(submitted + 1));
  caller.setScratch(1, deadline);
  return caller.block(deadline === 0n ? undefined : deadline);
}

function createTable(core: Core, handle: number, kind: number, methods: number): number {
  const ring = ringOf(core, handle);
  if (typeof ring === 'number') return ring;
  const known: number[] = Object.values(TABLE_KIND);
  if (!ring.serves || !known.includes(kind) || methods > 0x10000) return -ERRNO.INVAL;
  return core.rings.tables.create(core.caller(), ring, kind, methods);
}

function createObject(core: Core, handle: number, number: bigint, rights: number): number {
  const found = core.kinds.find(handle, RIGHT.manage, OBJECT.table);
  if (typeof found === 'number') return found;
  if (number > BigInt(Number.MAX_SAFE_INTEGER) || (rights & ~RIGHTS_ALL) !== 0) return -ERRNO.INVAL;
  const table = core.objects.a(found.object);
  return core.rings.tables.object(core.caller(), table, Number(number), rights);
}

/** Moves bytes between the server and its client, within the buffers of the request. How many, or -errno. */
function transfer(
  core: Core,
  caller: Caller,
  number: bigint,
  offset: number,
  pointer: number,
  length: number,
  writing: boolean,
): number {
  const op = core.rings.tables.request(core.caller(), BigInt.asUintN(64, number));
  if (typeof op === 'number') return op;
  const { space } = core;
  if (caller.range(pointer, length, !writing) < 0) return -ERRNO.FAULT;
  const bytes = Math.min(length, TRANSFER_MAX_BYTES, Math.max(0, (writing ? op.room : op.given) - offset));
  if (bytes === 0) return 0;
  const bad = core.rings.tables.reach(op, writing ? 'o' : 'ip');
  if (bad !== 0) return bad;
  // Reaching the client's may have moved ours.
  const ours = caller.range(pointer, bytes, !writing);
  if (ours < 0) return -ERRNO.FAULT;
  return op.walk(writing, offset, bytes, (address, count, done) =>
    writing ? space.copy(address, ours + done, count) : space.copy(ours + done, address, count),
  );
}
