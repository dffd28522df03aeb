/**
 * Names under which a domain has been granted capabilities: a heap block with one entry after the other, found by
 * looking at each. A name stays when its handle was closed; it then names nothing.
 */
import { ERRNO } from '../../abi/errno.ts';
import { GRANT_NAME_MAX_BYTES, GRANTS_MAX } from '../../base/limits.ts';
import { bytes, defineRecord, type Space, u32 } from '../../space/index.ts';
import { type Domain, DomainRecord } from '../domain.ts';

const Header = defineRecord('grants', {
  count: u32('kernel', 'Entries.'),
  room: u32('kernel', 'Entries that the block has room for.'),
});
const Entry = defineRecord('grant', {
  handle: u32('kernel', 'In the list of the domain.'),
  length: u32('kernel', 'Bytes of the name.'),
  name: bytes(GRANT_NAME_MAX_BYTES, 'kernel', 'UTF-8.'),
});
const [D, H, E] = [DomainRecord.fields, Header.fields, Entry.fields];
const FIRST_ROOM = 4;

/** The handle under this name, or -NOENT. */
export function findGrant(space: Space, domain: Domain, name: Uint8Array): number {
  const at = find(space, D.grants.get(space, domain.at), name);
  return at === 0 ? -ERRNO.NOENT : E.handle.get(space, at);
}

/**
 * Gives a handle this name, in place of the one that had it. 0, or -errno: INVAL for a name that cannot be, DQUOT.
 * @throws SpaceFullError with nothing changed
 */
export function setGrant(space: Space, domain: Domain, name: Uint8Array, handle: number): number {
  if (name.length === 0 || name.length > GRANT_NAME_MAX_BYTES) return -ERRNO.INVAL;
  let block = D.grants.get(space, domain.at);
  let at = find(space, block, name);
  if (at === 0) {
    const count = block === 0 ? 0 : H.count.get(space, block);
    if (count === GRANTS_MAX) return -ERRNO.DQUOT;
    const room = block === 0 ? 0 : H.room.get(space, block);
    if (count === room) {
      const more = Math.max(FIRST_ROOM, 2 * room);
      const wanted = Header.bytes + more * Entry.bytes;
      block = block === 0 ? space.heap.alloc(wanted) : space.heap.resize(block, wanted);
      H.room.set(space, block, more);
      D.grants.set(space, domain.at, block);
    }
    at = block + Header.bytes + count * Entry.bytes;
    H.count.set(space, block, count + 1);
    E.length.set(space, at, name.length);
    E.name.set(space, at, name);
  }
  E.handle.set(space, at, handle);
  return 0;
}

/** All names with their handles. */
export function* grantsOf(space: Space, domain: Domain): Generator<[name: string, handle: number]> {
  const block = D.grants.get(space, domain.at);
  for (let i = 0; block !== 0 && i < H.count.get(space, block); i++) {
    const at = block + Header.bytes + i * Entry.bytes;
    const name = E.name.get(space, at).subarray(0, E.length.get(space, at));
    yield [new TextDecoder().decode(name), E.handle.get(space, at)];
  }
}

export function clearGrants(space: Space, domain: Domain): void {
  const block = D.grants.get(space, domain.at);
  if (block === 0) return;
  D.grants.set(space, domain.at, 0);
  space.heap.free(block);
}

function find(space: Space, block: number, name: Uint8Array): number {
  for (let i = 0; block !== 0 && i < H.count.get(space, block); i++) {
    const at = block + Header.bytes + i * Entry.bytes;
    if (E.length.get(space, at) !== name.length) continue;
    const from = E.name.address(at);
    if (name.every((byte, k) => space.u8[from + k] === byte)) return at;
  }
  return 0;
}
