/**
 * Capability records: the right to an object, which may be revoked. A record is named by its address, and held by places
 * in lists, by capabilities derived of it, and by whoever else retains it (a sturdy reference, a window, a request).
 *
 * Whoever holds one keeps its `turn` too. To revoke is to raise the turn, and the epoch: the holder's turn is then not
 * that of the record any more. A derived capability keeps the turn its parent had, and is good while that is so; the way
 * up is walked only where the epoch has moved since it was found good. So revoking writes two words, whatever was
 * derived, and what is dead goes when its holders let go of it.
 *
 * Why: RATIONALE.md#revoking-is-two-stores
 */
import { RESOURCE } from '../../abi/account.ts';
import { ERRNO } from '../../abi/errno.ts';
import { RIGHT, RIGHTS_ALL } from '../../abi/objects.ts';
import { assert } from '../../base/assert.ts';
import { CAPABILITY_DEPTH_MAX } from '../../base/limits.ts';
import { defineRecord, num, RecordTable, ROOT, type Space, u8, u32, u64 } from '../../space/index.ts';
import { charge, mayCharge, refund } from '../account/account.ts';
import { epochOf, moveEpoch } from './epoch.ts';
import type { Objects } from './objects.ts';

export const CapabilityRecord = defineRecord('capability', {
  object: num('kernel', 'Address of the object.'),
  parent: num('kernel', 'The capability it was derived of, 0 for none.'),
  parentTurn: num('kernel', "That one's turn then."),
  turn: num('kernel', 'Goes up with each revocation.'),
  checked: num('kernel', 'The epoch at which it was last found good.'),
  kind: num('kernel', 'The kind object that is asked when it is used (kinds.ts), 0 for none.'),
  over: num('kernel', 'The capability that the kind stands before: one of those it was derived of.'),
  kindBadge: u64('kernel', 'The number by which the kind knows it.'),
  badge: u64('kernel', 'The number that whoever serves the object sees; 0 for none.'),
  payer: num('kernel', 'The account that is charged for it, 0 for the system.'),
  refs: u32('kernel', 'Who holds it.'),
  row: u32('kernel', 'Its row in the table.'),
  rights: u8('kernel', 'RIGHT bits: most that any holder has.'),
  depth: u8('kernel', 'How many it was derived through.'),
  dead: u8('kernel', '1 when what it was derived of was revoked.'),
});
const R = CapabilityRecord.fields;

/** A capability as a holder keeps it. */
export interface Held {
  readonly capability: number;
  readonly turn: number;
}

export class Capabilities {
  readonly #space: Space;
  readonly #objects: Objects;
  #table: RecordTable | null = null;

  constructor(space: Space, objects: Objects) {
    this.#space = space;
    this.#objects = objects;
  }

  get count(): number {
    return this.#space.root(ROOT.capabilities) === 0 ? 0 : this.#rows().liveCount;
  }

  /**
   * The first capability to an object, or one more that nothing but its object ends. Held by nobody yet: `retain` it, or
   * put it in a list. Its turn is 0.
   * @param payer the account that is charged, without asking whether it may; 0 for the system
   * @throws SpaceFullError with nothing changed
   */
  root(object: number, rights = RIGHTS_ALL, payer = 0, badge = 0n): number {
    const at = this.#insert(object, payer);
    R.rights.set(this.#space, at, rights);
    R.badge.set(this.#space, at, badge);
    return at;
  }

  /**
   * A capability that is revoked apart from the one it is made of, or with it. Held by nobody yet; its turn is 0.
   * @param rights those that the holder has and wants it to have; it can always be revoked by who made it
   * @param badge 0 for the one of its parent
   * @param object what it is to; not that of its parent where that was opened through the parent
   * @returns its address, or -errno: REVOKED, GONE, NOTCAPABLE for a second badge, DEPTH, DQUOT
   * @throws SpaceFullError with nothing changed
   */
  derive(
    parent: number,
    turn: number,
    rights: number,
    badge: bigint,
    payer: number,
    object = this.object(parent),
  ): number {
    const space = this.#space;
    const bad = this.check(parent, turn);
    if (bad !== 0) return bad;
    const inherited = R.badge.get(space, parent);
    if (badge !== 0n && inherited !== 0n) return -ERRNO.NOTCAPABLE;
    const depth = R.depth.get(space, parent) + 1;
    if (depth > CAPABILITY_DEPTH_MAX) return -ERRNO.DEPTH;
    if (!mayCharge(space, payer, RESOURCE.capabilities, 1)) return -ERRNO.DQUOT;
    const at = this.#insert(object, payer);
    R.parent.set(space, at, parent);
    R.parentTurn.set(space, at, turn);
    R.badge.set(space, at, badge === 0n ? inherited : badge);
    R.rights.set(space, at, (rights & R.rights.get(space, parent)) | RIGHT.revoke);
    R.depth.set(space, at, depth);
    this.retain(parent);
    const kind = R.kind.get(space, parent);
    if (kind !== 0) this.setKind(at, kind, R.kindBadge.get(space, parent), R.over.get(space, parent));
    return at;
  }

  /** A kind is to be asked before a capability that nobody holds yet is used; in place of the one it had for that. */
  setKind(capability: number, kind: number, badge: bigint, over: number): void {
    const space = this.#space;
    const old = R.kind.get(space, capability);
    this.#objects.retain(kind);
    if (old !== 0) this.#objects.release(old);
    R.kind.set(space, capability, kind);
    R.kindBadge.set(space, capability, badge);
    R.over.set(space, capability, over);
  }

  /** Whether who holds it at this turn may use it: 0, -REVOKED or -GONE. */
  check(capability: number, turn: number): number {
    const space = this.#space;
    if (R.turn.get(space, capability) !== turn) return -ERRNO.REVOKED;
    const epoch = epochOf(space);
    if (R.checked.get(space, capability) === epoch) return 0;
    return this.#walk(capability, epoch);
  }

  /**
   * Ends it for all who hold it at an earlier turn, and all that was derived of it.
   * @returns its turn from now on
   */
  revoke(capability: number): number {
    const turn = R.turn.get(this.#space, capability) + 1;
    R.turn.set(this.#space, capability, turn);
    moveEpoch(this.#space);
    return turn;
  }

  retain(capability: number): void {
    R.refs.set(this.#space, capability, R.refs.get(this.#space, capability) + 1);
  }
  /** Whether more than one holds it. */
  isShared(capability: number): boolean {
    return R.refs.get(this.#space, capability) > 1;
  }
  /** Lets go; the record, those it was derived of, and the object end with their last holder. */
  release(capability: number): void {
    const space = this.#space;
    for (let at = capability; at !== 0; ) {
      const refs = R.refs.get(space, at);
      assert(refs > 0, 'a capability is released by who holds it');
      R.refs.set(space, at, refs - 1);
      if (refs > 1) return;
      const [parent, object] = [R.parent.get(space, at), R.object.get(space, at)];
      const payer = R.payer.get(space, at);
      const kind = R.kind.get(space, at);
      this.#rows().remove(R.row.get(space, at));
      refund(space, payer, RESOURCE.capabilities, 1);
      this.#objects.release(object);
      if (kind !== 0) this.#objects.release(kind);
      at = parent;
    }
  }

  turn(capability: number): number {
    return R.turn.get(this.#space, capability);
  }
  /** What it was derived of, 0 for none. */
  parent(capability: number): number {
    return R.parent.get(this.#space, capability);
  }
  object(capability: number): number {
    return R.object.get(this.#space, capability);
  }
  rights(capability: number): number {
    return R.rights.get(this.#space, capability);
  }
  /** The kind to be asked, 0 for none; by which number it knows the capability, and what lies behind it. */
  kind(capability: number): number {
    return R.kind.get(this.#space, capability);
  }
  kindBadge(capability: number): bigint {
    return R.kindBadge.get(this.#space, capability);
  }
  over(capability: number): number {
    return R.over.get(this.#space, capability);
  }
  badge(capability: number): bigint {
    return R.badge.get(this.#space, capability);
  }

  #walk(capability: number, epoch: number): number {
    const space = this.#space;
    if (R.dead.get(space, capability) !== 0) return -ERRNO.REVOKED;
    for (let at = capability; ; ) {
      const parent = R.parent.get(space, at);
      if (parent === 0) break;
      if (R.turn.get(space, parent) !== R.parentTurn.get(space, at)) {
        R.dead.set(space, capability, 1);
        return -ERRNO.REVOKED;
      }
      at = parent;
    }
    if (this.#objects.isGone(R.object.get(space, capability))) return -ERRNO.GONE;
    R.checked.set(space, capability, epoch);
    return 0;
  }

  #insert(object: number, payer: number): number {
    const space = this.#space;
    const row = this.#rows().insert();
    const at = this.#rows().address(row);
    R.object.set(space, at, object);
    R.row.set(space, at, row);
    R.payer.set(space, at, payer);
    R.checked.set(space, at, epochOf(space));
    this.#objects.retain(object);
    charge(space, payer, RESOURCE.capabilities, 1);
    return at;
  }

  #rows(): RecordTable {
    this.#table ??= RecordTable.open(this.#space, ROOT.capabilities, CapabilityRecord.bytes);
    return this.#table;
  }
}
