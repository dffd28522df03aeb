/**
 * Tables: objects that domains serve. An operation on one becomes a request in the ring of its server, which reads and
 * writes the client's buffers by calls, within the bounds of that request, and answers by a `reply`. A request lives in
 * the client's record, so a slow server holds up nobody but its clients, and costs nobody else.
 *
 * A served object's own numbers are its table and the number that the server gave it. When the table goes (closed, its ring
 * closed, its domain ended), its objects are gone and every request is answered with GONE.
 */
import { ERRNO } from '../../abi/errno.ts';
import { OBJECT, RIGHT, RIGHTS_ALL } from '../../abi/objects.ts';
import {
  NO_HANDLE,
  OPERATION,
  OPTION,
  REQUEST,
  REQUEST_BYTES,
  REQUEST_CANCELED,
  REQUEST_DATA_BYTES,
  REQUEST_RELEASED,
  TABLE_KIND,
} from '../../abi/ring.ts';
import { RecordTable, ROOT, type Space } from '../../space/index.ts';
import type { Core } from '../core.ts';
import type { Domain } from '../domain.ts';
import { WOULD_BLOCK } from '../ports.ts';
import { updateRequest } from './kept.ts';
import { countBrought, takeBrought } from './loans.ts';
import { Operation } from './operation.ts';
import { PHASE, TableRecord } from './records.ts';
import type { Ring } from './ring.ts';
import type { Rings } from './rings.ts';
import { roomy } from './roomy.ts';
import type { ObjectServer, Target } from './server.ts';

const T = TableRecord.fields;

/** Operations that objects of a table of this kind take. Others are NOTSUP without the server being asked. */
const { read, write, wait, sync, invoke, describe, open, map } = OPERATION;
const STREAM_OPERATIONS = new Set<number>([read, write, wait, sync, describe]);
const GENERIC_OPERATIONS = new Set<number>([invoke, open, describe, map, wait]);

interface Table {
  readonly at: number;
  readonly ring: Ring;
  readonly kind: number;
  readonly methods: number;
  /** Requests that have been put in the server's queue or wait to be. */
  readonly requests: Set<Operation>;
  /** Its objects that exist. */
  readonly objects: Set<number>;
}

export class Tables implements ObjectServer {
  readonly waits = true;
  readonly #rings: Rings;
  readonly #core: Core;
  readonly #space: Space;
  readonly #tables = new Map<number, Table>();

  /** The request that is being put together. */
  readonly #request = new Uint8Array(REQUEST_BYTES);
  readonly #view = new DataView(this.#request.buffer);

  constructor(rings: Rings) {
    this.#rings = rings;
    this.#core = rings.core;
    this.#space = rings.space;
  }

  /** Makes the handles of what the records hold. */
  load(): void {
    const [space, { objects }] = [this.#space, this.#core];
    objects.onEnd(OBJECT.table, (object) => this.#close(objects.a(object)));
    objects.onEnd(OBJECT.served, (object) => this.#released(object));
    if (space.root(ROOT.tables) === 0) return;
    const rows = this.#rows();
    for (const row of rows.rows()) this.#adopt(rows.address(row));
    for (const object of objects.all()) {
      if (objects.kind(object) === OBJECT.served) this.#tables.get(objects.a(object))?.objects.add(object);
    }
  }

  get count(): number {
    return this.#tables.size;
  }
  /** Whether a ring has a table, so that requests may come. */
  serves(ring: Ring): boolean {
    if (!ring.serves) return false;
    for (const table of this.#tables.values()) if (table.ring === ring) return true;
    return false;
  }

  /** A new table on a ring of the caller's. Its handle or -errno. @throws SpaceFullError */
  create(domain: Domain, ring: Ring, kind: number, methods: number): number {
    const { clists } = this.#core;
    const bad = clists.reserve(domain, 1);
    if (bad !== 0) return bad;
    const at = this.#insert(ring, kind, methods);
    const handle = clists.make(domain, OBJECT.table, at, 0, RIGHTS_ALL);
    const found = clists.find(domain, handle);
    if (typeof found === 'number') return found;
    T.object.set(this.#space, at, found.object);
    this.#adopt(at);
    return handle;
  }

  #insert(ring: Ring, kind: number, methods: number): number {
    const rows = this.#rows();
    const row = rows.insert();
    const at = rows.address(row);
    T.row.set(this.#space, at, row);
    T.kind.set(this.#space, at, kind);
    T.ring.set(this.#space, at, ring.at);
    T.methods.set(this.#space, at, methods);
    return at;
  }

  /** What is known of a table, and its object. */
  describe(at: number): { ring: number; kind: number; methods: number; object: number } | undefined {
    const table = this.#tables.get(at);
    if (table === undefined) return undefined;
    const { ring, kind, methods } = table;
    return { ring: ring.at, kind, methods, object: T.object.get(this.#space, at) };
  }
  /** The objects of a table. */
  objectsOf(at: number): Iterable<number> {
    return this.#tables.get(at)?.objects ?? [];
  }
  /** The object of a table that was carried here with its ring, and an object of that; nobody holds them yet. @throws SpaceFullError */
  arrive(ring: Ring, kind: number, methods: number): number {
    const at = this.#insert(ring, kind, methods);
    let object: number;
    try {
      object = this.#core.objects.create(OBJECT.table, at);
    } catch (error) {
      this.#rows().remove(T.row.get(this.#space, at));
      throw error;
    }
    T.object.set(this.#space, at, object);
    this.#adopt(at);
    return object;
  }
  arriveObject(table: number, number: number): number {
    const at = this.#core.objects.a(table);
    const object = this.#core.objects.create(OBJECT.served, at, number);
    this.#tables.get(at)?.objects.add(object);
    return object;
  }

  /** An object of a table, known to its server by a number. Its handle or -errno. @throws SpaceFullError */
  object(domain: Domain, at: number, number: number, rights: number): number {
    const table = this.#tables.get(at);
    if (table === undefined) return -ERRNO.GONE;
    const { clists } = this.#core;
    const handle = clists.make(domain, OBJECT.served, at, number, rights);
    if (handle < 0) return handle;
    const found = clists.find(domain, handle);
    if (typeof found === 'number') return found;
    table.objects.add(found.object);
    return handle;
  }

  #adopt(at: number): void {
    const ring = this.#rings.ring(T.ring.get(this.#space, at));
    if (ring === undefined) return;
    this.#tables.set(at, {
      at,
      ring,
      kind: T.kind.get(this.#space, at),
      methods: T.methods.get(this.#space, at),
      requests: new Set(),
      objects: new Set(),
    });
  }

  /** A request is under way that came from a record. */
  index(op: Operation): void {
    const table = this.#tables.get(op.table);
    if (table === undefined) return;
    table.requests.add(op);
    if (op.phase === PHASE.queued || op.phase === PHASE.notice) table.ring.requests.set(op.id, op);
  }
  /** It no longer is. */
  unindex(op: Operation): void {
    const table = this.#tables.get(op.table);
    if (table === undefined) return;
    table.requests.delete(op);
    table.ring.requests.delete(op.id);
  }

  /** Puts the request in its server's queue, or has it wait for room there. */
  attempt(op: Operation, target: Target): number {
    const { objects } = this.#core;
    // Asked again after a restart or a wake: it waits for its server.
    if (op.table !== 0) return WOULD_BLOCK;
    const table = this.#tables.get(objects.a(target.object));
    if (table === undefined) return -ERRNO.GONE;
    if (table.kind === TABLE_KIND.stream && !STREAM_OPERATIONS.has(op.code)) return -ERRNO.NOTSUP;
    if (table.kind === TABLE_KIND.generic && !GENERIC_OPERATIONS.has(op.code)) return -ERRNO.NOTSUP;
    if (op.code === invoke && op.method >= table.methods) return -ERRNO.NOSYS;
    op.table = table.at;
    op.object = objects.b(target.object);
    op.phase = PHASE.queued;
    this.index(op); // whoever asks writes all of it into its record
    this.deliver(table.ring);
    return WOULD_BLOCK;
  }

  /** What an operation brings (loans.ts), or the number of its other object where that is of the same table. 0 or -errno. */
  #bring(op: Operation): number {
    op.brought = countBrought(op);
    if (op.bringsSegment) op.otherObject = op.segmentOffset;
    const several = op.code === invoke && (op.options & OPTION.handles) !== 0;
    if (op.bringsSegment || several || op.other === NO_HANDLE) return 0;
    const { clists, objects } = this.#core;
    const client = this.#rings.owner(op);
    if (client === null) return -ERRNO.GONE;
    const found = clists.look(client, op.other);
    if (typeof found === 'number') return found;
    const asks = this.#core.capabilities.kind(found.capability) !== 0;
    const lends = op.brought > 0 && (op.options & OPTION.lend) !== 0;
    if (!asks && !lends && found.kind === OBJECT.served && objects.a(found.object) === op.table) {
      [op.otherObject, op.brought] = [objects.b(found.object), 0];
      return 0;
    }
    if (op.code !== invoke) return -ERRNO.XDEV;
    return (found.rights & RIGHT.share) === 0 ? -ERRNO.NOTCAPABLE : 0;
  }

  /** Gives a server one of what a request brings: its handle, or -errno. @throws SpaceFullError */
  take(server: Domain, number: bigint, which: number): number {
    const op = this.request(server, number);
    if (typeof op === 'number') return op;
    return takeBrought(this.#core, op, this.#rings.owner(op) as Domain, server, which);
  }

  /** Puts requests in a ring's queue as long as there is room, and wakes its domain. */
  deliver(ring: Ring): void {
    ring.domain ??= this.#core.peek(ring.domainId) ?? null;
    if (ring.domain === null || ring.requests.size === 0) return;
    let any = false;
    for (const op of ring.requests.values()) {
      if (!ring.hasRequestRoom) break;
      const bad = op.phase === PHASE.notice ? 0 : this.#reach(op) || this.#bring(op);
      if (bad < 0) {
        this.#rings.answer(op, bad);
        continue;
      }
      if (!ring.deliver(this.#encode(op))) break;
      ring.requests.delete(op.id);
      any = true;
      if (op.phase === PHASE.notice) {
        this.unindex(op);
        this.#rings.release(op);
      } else {
        op.phase = PHASE.delivered;
        updateRequest(op);
      }
    }
    if (any) this.#core.wake(ring.domainId);
  }

  /** Whether what the client gives can be reached; its domain may not have come back yet. */
  #reach(op: Operation): number {
    return this.#rings.owner(op) === null ? 0 : op.reach('ip');
  }

  #encode(op: Operation): Uint8Array {
    const [bytes, view] = [this.#request, this.#view];
    bytes.fill(0);
    const notice = op.phase === PHASE.notice;
    view.setBigUint64(REQUEST.number, notice ? op.offset64 : BigInt(op.id), true);
    view.setBigUint64(REQUEST.object, BigInt(op.object), true);
    view.setBigUint64(REQUEST.badge, op.badge, true);
    view.setUint8(REQUEST.operation, op.code);
    if (notice) return bytes;
    view.setUint16(REQUEST.method, op.method, true);
    view.setUint32(REQUEST.options, op.options, true);
    view.setBigUint64(REQUEST.offset, op.offset64, true);
    view.setUint32(REQUEST.given, op.given, true);
    view.setUint32(REQUEST.givenFirst, op.givenFirst, true);
    view.setUint32(REQUEST.room, op.room, true);
    view.setUint32(REQUEST.rights, op.rights, true);
    view.setUint32(REQUEST.held, op.held, true);
    view.setBigUint64(REQUEST.other, BigInt(op.otherObject), true);
    view.setUint32(REQUEST.brought, op.brought, true);
    if (op.given > 0 && this.#rings.owner(op) !== null) {
      const inside = op.copyGiven(0, REQUEST_DATA_BYTES);
      view.setUint32(REQUEST.inside, inside.length, true);
      bytes.set(inside, REQUEST.data);
    }
    return bytes;
  }

  /** A request that a domain serves and has been given, by its number; -NOENT where there is none, or no longer. */
  request(server: Domain, number: bigint): Operation | number {
    const op = number > BigInt(Number.MAX_SAFE_INTEGER) ? undefined : this.#rings.operation(Number(number));
    if (op === undefined || op.phase !== PHASE.delivered) return -ERRNO.NOENT;
    const table = this.#tables.get(op.table);
    return table?.ring.domainId === server.id && this.#rings.owner(op) !== null ? op : -ERRNO.NOENT;
  }

  /**
   * Whether buffers of the client can be reached (Operation.reach). Where they cannot, the client has its error, and it is
   * -NOENT: nobody waits for the server's answer any more.
   */
  reach(op: Operation, roles: string): number {
    const bad = op.reach(roles);
    if (bad === 0) return 0;
    this.#rings.stop(op, bad);
    return -ERRNO.NOENT;
  }

  /** The operation `reply`: an answer of a server. */
  reply(by: Operation): number {
    const server = this.#rings.owner(by) as Domain;
    const op = this.request(server, by.offset64);
    if (typeof op === 'number') return op;
    let result = by.rights | 0;
    const bad = result >= 0 && by.firstLength > 0 ? this.reach(op, 'o') : 0;
    if (bad !== 0) return bad;
    if (result >= 0 && by.firstLength > 0) op.fill(by.copyGiven(0, Math.min(by.firstLength, op.room)));
    op.value = BigInt.asIntN(64, by.limit);
    if (by.other !== NO_HANDLE) {
      if (result < 0 || ![open, map, invoke].includes(op.code as 1)) return -ERRNO.INVAL;
      const given = this.#give(server, by, op);
      if (given < 0 || op.code !== invoke) result = given;
      else op.value = BigInt(given);
      if (given === -ERRNO.NOTCAPABLE || given === -ERRNO.BADF) return given;
    } else if (result >= 0 && (op.code === open || op.code === map)) return -ERRNO.INVAL;
    this.#rings.answer(op, result);
    return 0;
  }

  /** Gives the client what it asked for: its handle, or -errno. */
  #give(server: Domain, by: Operation, op: Operation): number {
    const { clists } = this.#core;
    const client = this.#rings.owner(op) as Domain;
    // No more than the client has of what it opens; what a method gives is the method's.
    const wanted = op.rights === 0 ? RIGHTS_ALL : op.rights | RIGHT.share | RIGHT.derive;
    const rights = op.code === invoke ? wanted : wanted & op.held;
    const given = roomy(() => clists.pass(server, by.other, client, rights));
    if (given >= 0 && (by.options & OPTION.move) !== 0) clists.close(server, by.other);
    return given;
  }

  /** The client has given up: nobody waits for an answer to this operation, if it is a request at all. */
  giveUp(op: Operation): void {
    if (op.phase !== PHASE.delivered && op.phase !== PHASE.queued) return;
    this.unindex(op);
    if (op.phase === PHASE.delivered) this.#notify(op.table, REQUEST_CANCELED, op.object, BigInt(op.id));
    op.phase = PHASE.asked;
    op.table = 0;
    op.effect = 0;
  }

  /** Nobody holds an object any more. */
  #released(object: number): void {
    const { objects } = this.#core;
    const table = this.#tables.get(objects.a(object));
    if (table === undefined) return;
    table.objects.delete(object);
    this.#notify(table.at, REQUEST_RELEASED, objects.b(object), 0n);
  }

  /**
   * Tells a server something that has no answer. Where there is no room for that in the space, or the server's account has none for
   * one more request, it is not told.
   */
  #notify(at: number, code: number, object: number, number: bigint): void {
    const table = this.#tables.get(at);
    if (table === undefined) return;
    const op = new Operation(this.#core);
    op.code = code;
    op.table = at;
    op.object = object;
    op.offset64 = number;
    op.payer = this.#core.peek(table.ring.domainId)?.account ?? 0;
    if (!this.#rings.keep(op, PHASE.notice)) return;
    this.index(op);
    this.deliver(table.ring);
  }

  /** The table goes: its objects are gone, and all requests are answered. */
  #close(at: number): void {
    const table = this.#tables.get(at);
    if (table === undefined) return;
    this.#tables.delete(at);
    for (const op of [...table.requests]) {
      table.ring.requests.delete(op.id);
      if (op.phase === PHASE.notice) this.#rings.release(op);
      else this.#rings.answer(op, -ERRNO.GONE);
    }
    for (const object of [...table.objects]) this.#core.objects.destroy(object);
    this.#rows().remove(T.row.get(this.#space, at));
  }

  ringGone(ring: Ring): void {
    for (const table of [...this.#tables.values()]) {
      if (table.ring === ring) this.#core.objects.destroy(T.object.get(this.#space, table.at));
    }
  }

  #rows(): RecordTable {
    return RecordTable.open(this.#space, ROOT.tables, TableRecord.bytes);
  }
}
