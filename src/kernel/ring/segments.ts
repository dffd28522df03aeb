/**
 * Segments as objects of rings: what a capability to a segment can be asked (abi/ring.ts). Bytes move straight between
 * the segment and the client's memory; nothing ever waits. A segment has the size it has: nothing is written past its
 * end, in part neither; less is written than was given only where the space is full. `map` gives the same capability once more, with fewer rights, so it ends with that.
 */
import { ERRNO } from '../../abi/errno.ts';
import { RIGHTS_ALL } from '../../abi/objects.ts';
import { OPERATION } from '../../abi/ring.ts';
import { SpaceFullError } from '../../space/index.ts';
import type { Core } from '../core.ts';
import { FILE_TYPE } from '../ports.ts';
import { plainStat } from './attributes.ts';
import { describe } from './hosts.ts';
import type { Operation } from './operation.ts';
import { alwaysReady, type ObjectServer, type Target } from './server.ts';

export class SegmentServer implements ObjectServer {
  readonly waits = false;
  readonly #core: Core;

  constructor(core: Core) {
    this.#core = core;
  }

  attempt(op: Operation, target: Target): number {
    switch (op.code) {
      case OPERATION.read:
        return this.#read(op, target.object);
      case OPERATION.write:
        return this.#write(op, target);
      case OPERATION.describe: {
        if (op.firstLength > 0) return -ERRNO.NOTDIR;
        const size = this.#core.segments.size(target.object);
        return describe(op, { ...plainStat(FILE_TYPE.regularFile), size });
      }
      case OPERATION.map:
        return this.#map(op, target);
      default:
        return alwaysReady(op);
    }
  }

  #read(op: Operation, object: number): number {
    const { segments } = this.#core;
    const start = op.offset;
    if (start < 0) return -ERRNO.INVAL;
    let [moved, failed] = [0, 0];
    op.pieces(1, (address, length) => {
      const got = segments.read(object, start + moved, address, length);
      if (got < 0) failed = got;
      else moved += got;
      return got === length;
    });
    return moved > 0 ? moved : failed;
  }

  #write(op: Operation, { object, rights }: Target): number {
    const { segments } = this.#core;
    const start = op.offset;
    if (op.owner === null) return -ERRNO.GONE;
    const bad = segments.mayWrite(object, op.owner, rights);
    if (bad !== 0) return bad;
    if (start < 0 || start + op.firstLength > segments.size(object)) return -ERRNO.INVAL;
    // Before addresses are asked for: making it bytes of its own may move what is mapped.
    const missing = segments.prepare(object, start, op.firstLength);
    if (missing !== 0) return missing;
    const gone = op.reach();
    if (gone !== 0) return gone;
    let moved = 0;
    try {
      op.pieces(1, (address, length) => {
        segments.write(object, start + moved, address, length);
        moved += length;
        return true;
      });
    } catch (error) {
      if (moved === 0 || !(error instanceof SpaceFullError)) throw error;
    }
    return moved;
  }

  #map({ owner, rights }: Operation, target: Target): number {
    if (owner === null) return -ERRNO.GONE;
    const most = rights === 0 ? RIGHTS_ALL : rights;
    return this.#core.clists.insert(owner, target.capability, target.turn, target.rights & most);
  }
}
