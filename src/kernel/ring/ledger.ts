/**
 * What is under way, by its records: one table of the space, and indices of it that are made again when a space is opened.
 * Keeping and giving back records, and nothing about what they mean.
 */
import { RESOURCE } from '../../abi/account.ts';
import { SUBMIT } from '../../abi/ring.ts';
import { RecordTable, ROOT, type Space, SpaceFullError } from '../../space/index.ts';
import { charge, mayCharge, refund } from '../account/account.ts';
import type { Core } from '../core.ts';
import { NO_DEADLINE } from '../domain.ts';
import { freeBuffers, readOperation, ringOfRecord, writeOperation } from './kept.ts';
import type { Operation } from './operation.ts';
import { OperationRecord, PHASE } from './records.ts';
import type { Ring } from './ring.ts';
import { Timers } from './timers.ts';

/** Entries of the timers that may be about nothing any more. */
const TIMERS_SLACK = 1024;

export class Ledger {
  readonly #core: Core;
  readonly #space: Space;
  /** All, by number. */
  readonly #operations = new Map<number, Operation>();
  readonly #byDomain = new Map<number, Set<Operation>>();
  /** What begins when an operation is over. */
  readonly #after = new Map<number, Operation[]>();
  readonly timers = new Timers();
  #rows: RecordTable | null = null;

  constructor(core: Core) {
    this.#core = core;
    this.#space = core.space;
  }

  /** The handles of all records, oldest first. */
  load(rings: ReadonlyMap<number, Ring>): Operation[] {
    const space = this.#space;
    if (space.root(ROOT.operations) === 0) return [];
    const rows = this.#table();
    const all = [...rows.rows()].map((row) => readOperation(this.#core, rows.address(row)));
    all.sort((a, b) => a.id - b.id);
    for (const op of all) {
      op.ring = rings.get(ringOfRecord(op)) ?? null;
      this.#index(op);
    }
    return all;
  }

  get count(): number {
    return this.#operations.size;
  }
  get(id: number): Operation | undefined {
    return this.#operations.get(id);
  }
  all(): Operation[] {
    return [...this.#operations.values()];
  }
  /** Those of a domain. */
  of(domain: number): Operation[] {
    return [...(this.#byDomain.get(domain) ?? [])];
  }
  has(domain: number): boolean {
    return this.#byDomain.has(domain);
  }
  domains(): number[] {
    return [...this.#byDomain.keys()];
  }
  /** Takes out what begins when this operation is over. */
  takeAfter(id: number): readonly Operation[] {
    const list = this.#after.get(id) ?? [];
    this.#after.delete(id);
    return list;
  }

  /** Has an operation looked at at a time. */
  at(time: bigint, op: Operation): void {
    if (this.timers.count > 2 * this.count + TIMERS_SLACK)
      this.timers.sweep((id) => this.#operations.has(id));
    this.timers.add(time, op.id);
  }

  /** Gives an operation a record. False where there is no room, or its domain has as many under way as it may. */
  keep(op: Operation, phase: number): boolean {
    const payer = op.domain === 0 ? op.payer : (this.#core.peek(op.domain)?.account ?? 0);
    if (!mayCharge(this.#space, payer, RESOURCE.requests, 1)) return false;
    let row = -1;
    try {
      row = this.#table().insert();
      op.row = row;
      op.id = this.#space.nextNumber();
      op.payer = payer;
      op.phase = phase;
      writeOperation(op, this.#table().address(row));
    } catch (error) {
      if (!(error instanceof SpaceFullError)) throw error;
      if (row >= 0) this.#table().remove(row);
      op.at = 0;
      op.id = 0;
      return false;
    }
    charge(this.#space, payer, RESOURCE.requests, 1);
    this.#index(op);
    return true;
  }

  /** Gives the record back, and what it held. */
  free(op: Operation): void {
    freeBuffers(op);
    if (op.holds) this.#core.capabilities.release(op.capability);
    op.holds = false;
    refund(this.#space, op.payer, RESOURCE.requests, 1);
    this.#core.refundOutbox(op.payer, op.outbox);
    const { ring } = op;
    if (ring !== null) {
      if (op.phase === PHASE.done) ring.backlog--;
      ring.operations.delete(op.id);
    }
    this.#operations.delete(op.id);
    const of = this.#byDomain.get(op.domain);
    of?.delete(op);
    if (of?.size === 0) this.#byDomain.delete(op.domain);
    this.#table().remove(op.row);
    op.at = 0;
  }

  #index(op: Operation): void {
    this.#operations.set(op.id, op);
    if (op.domain !== 0) {
      const of = this.#byDomain.get(op.domain);
      if (of === undefined) this.#byDomain.set(op.domain, new Set([op]));
      else of.add(op);
    }
    const { ring } = op;
    if (ring !== null) {
      ring.operations.set(op.id, op);
      if (op.phase === PHASE.done) ring.backlog++;
      else if ((op.flags & SUBMIT.drain) !== 0) ring.draining = op.id;
    }
    if (op.deadline !== NO_DEADLINE) this.timers.add(op.deadline, op.id);
    if (op.phase !== PHASE.waiting || op.after === 0) return;
    const list = this.#after.get(op.after);
    if (list === undefined) this.#after.set(op.after, [op]);
    else list.push(op);
  }

  #table(): RecordTable {
    this.#rows ??= RecordTable.open(this.#space, ROOT.operations, OperationRecord.bytes);
    return this.#rows;
  }
}
