/** The rings there are: their records, and a handle for each. */
import { RESOURCE } from '../../abi/account.ts';
import { RecordTable, ROOT, type Space } from '../../space/index.ts';
import { charge, refund } from '../account/account.ts';
import type { Core } from '../core.ts';
import type { Domain } from '../domain.ts';
import { RingRecord } from './records.ts';
import { Ring } from './ring.ts';

const R = RingRecord.fields;

export class RingTable {
  readonly #core: Core;
  readonly #space: Space;
  /** By address of the record. */
  readonly rings = new Map<number, Ring>();

  constructor(core: Core) {
    const { space } = core;
    this.#core = core;
    this.#space = space;
    if (space.root(ROOT.rings) === 0) return;
    const rows = this.#rows();
    for (const row of rows.rows()) {
      const at = rows.address(row);
      this.rings.set(at, new Ring(core, at));
    }
  }

  /** A new ring's record; its entries may be charged. @throws SpaceFullError */
  create(domain: Domain, pointer: number, entries: number, flags: number): Ring {
    const [space, rows] = [this.#space, this.#rows()];
    const row = rows.insert();
    const at = rows.address(row);
    R.domain.set(space, at, domain.id);
    R.row.set(space, at, row);
    R.pointer.set(space, at, pointer);
    R.entries.set(space, at, entries);
    R.flags.set(space, at, flags);
    R.payer.set(space, at, domain.account);
    charge(space, domain.account, RESOURCE.entries, entries);
    const ring = new Ring(this.#core, at);
    ring.domain = domain;
    this.rings.set(at, ring);
    return ring;
  }

  remove(ring: Ring): void {
    const space = this.#space;
    this.rings.delete(ring.at);
    refund(space, R.payer.get(space, ring.at), RESOURCE.entries, ring.entries);
    this.#rows().remove(R.row.get(space, ring.at));
  }

  #rows(): RecordTable {
    return RecordTable.open(this.#space, ROOT.rings, RingRecord.bytes);
  }
}
