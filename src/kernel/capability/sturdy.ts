/**
 * Sturdy references: texts that give a capability back to whoever knows them, `perdure:OBJECT:SECRET`, the object's id in 32
 * hexadecimal digits and 32 random bytes in base64url. A text is as a copy of the capability it was made from: it is
 * revoked with that, and never has the right to revoke.
 *
 * The space keeps a SHA-256 of the secret and nothing of the secret itself. A reference holds its capability, so the
 * object stays until the reference is forgotten; it is charged to the account of who had it made.
 */
import { RESOURCE } from '../../abi/account.ts';
import { ERRNO } from '../../abi/errno.ts';
import { RIGHT, STURDY_BYTES } from '../../abi/objects.ts';
import { assert } from '../../base/assert.ts';
import { sha256 } from '../../base/sha256.ts';
import { bytes, defineRecord, num, RecordTable, ROOT, type Space, u32 } from '../../space/index.ts';
import { charge, mayCharge, refund } from '../account/account.ts';
import type { Capabilities, Held } from './capabilities.ts';
import type { Objects } from './objects.ts';

export const SturdyRecord = defineRecord('sturdy reference', {
  capability: num('kernel', 'Address of the record.'),
  turn: num('kernel', 'Its turn when the reference was made.'),
  payer: num('kernel', 'The account that is charged for it.'),
  hash: bytes(32, 'kernel', 'SHA-256 of the secret.'),
  rights: u32('kernel', 'RIGHT bits.'),
  row: u32('kernel', 'Its row in the table.'),
});
const R = SturdyRecord.fields;
const SECRET_BYTES = 32;
const TEXT = /^perdure:([0-9a-f]{32}):([A-Za-z0-9_-]{43})$/;
const DIGITS = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';

/** What a reference gives back. */
export interface Restored extends Held {
  readonly rights: number;
}

export class Sturdies {
  readonly #space: Space;
  readonly #objects: Objects;
  readonly #capabilities: Capabilities;
  readonly #random: ((into: Uint8Array) => void) | undefined;
  #table: RecordTable | null = null;
  /** Records by hash, made when the first is looked for. */
  #byHash: Map<string, number> | null = null;

  constructor(
    space: Space,
    objects: Objects,
    capabilities: Capabilities,
    random?: (into: Uint8Array) => void,
  ) {
    this.#space = space;
    this.#objects = objects;
    this.#capabilities = capabilities;
    this.#random = random;
  }

  get count(): number {
    return this.#space.root(ROOT.sturdies) === 0 ? 0 : this.#rows().liveCount;
  }

  /**
   * A new reference. Returns its text, or -errno: DQUOT, NOTSUP where the host gives no random bytes.
   * @param payer an account; 0 for the system
   * @throws SpaceFullError with nothing changed
   */
  make({ capability, turn }: Held, rights: number, payer: number): string | number {
    if (this.#random === undefined) return -ERRNO.NOTSUP;
    if (!mayCharge(this.#space, payer, RESOURCE.capabilities, 1)) return -ERRNO.DQUOT;
    const secret = new Uint8Array(SECRET_BYTES);
    this.#random(secret);
    this.add({ capability, turn }, rights & ~RIGHT.revoke, payer, sha256(secret));
    return `perdure:${this.#objects.idText(this.#capabilities.object(capability))}:${encode(secret)}`;
  }

  /** Whether there is a reference with this hash. */
  knows(hash: Uint8Array): boolean {
    return this.#hashes().has(keyOf(hash));
  }

  /** The record of a reference whose hash is known, and no other's. @throws SpaceFullError with nothing changed */
  add({ capability, turn }: Held, rights: number, payer: number, hash: Uint8Array): void {
    const space = this.#space;
    const row = this.#rows().insert();
    const at = this.#rows().address(row);
    R.capability.set(space, at, capability);
    R.turn.set(space, at, turn);
    R.rights.set(space, at, rights);
    R.payer.set(space, at, payer);
    R.hash.set(space, at, hash);
    R.row.set(space, at, row);
    this.#capabilities.retain(capability);
    charge(space, payer, RESOURCE.capabilities, 1);
    this.#byHash?.set(keyOf(hash), at);
  }

  /**
   * What a text stands for, or -errno: INVAL for what is no such text, REVOKED or GONE once, for what is dead is forgotten
   * then, NOENT.
   */
  find(text: string): Restored | number {
    const at = this.#find(text);
    if (at < 0) return at;
    const space = this.#space;
    const [capability, turn] = [R.capability.get(space, at), R.turn.get(space, at)];
    const bad = this.#capabilities.check(capability, turn);
    if (bad === 0) return { capability, turn, rights: R.rights.get(space, at) };
    this.#drop(at);
    return bad;
  }

  /**
   * Ends a reference. 0, or -errno: INVAL, NOENT, NOTCAPABLE where another account has it.
   * @param payer only where this account is charged for it
   */
  forget(text: string, payer?: number): number {
    const at = this.#find(text);
    if (at < 0) return at;
    if (payer !== undefined && R.payer.get(this.#space, at) !== payer) return -ERRNO.NOTCAPABLE;
    this.#drop(at);
    return 0;
  }

  /** The living references to an object, without those before which kinds are asked: their domains stay where they are. */
  *to(object: number): Generator<{ hash: Uint8Array<ArrayBuffer>; rights: number; badge: bigint }> {
    const space = this.#space;
    if (space.root(ROOT.sturdies) === 0) return;
    for (const row of this.#rows().rows()) {
      const at = this.#rows().address(row);
      const capability = R.capability.get(space, at);
      if (this.#capabilities.object(capability) !== object || this.#capabilities.kind(capability) !== 0)
        continue;
      if (this.#capabilities.check(capability, R.turn.get(space, at)) !== 0) continue;
      const badge = this.#capabilities.badge(capability);
      yield { hash: R.hash.get(space, at), rights: R.rights.get(space, at), badge };
    }
  }

  /** Forgets all that stand for nothing any more. Returns how many. */
  sweep(): number {
    if (this.#space.root(ROOT.sturdies) === 0) return 0;
    let swept = 0;
    for (const row of this.#rows().rows()) {
      const at = this.#rows().address(row);
      const turn = R.turn.get(this.#space, at);
      if (this.#capabilities.check(R.capability.get(this.#space, at), turn) === 0) continue;
      this.#drop(at);
      swept++;
    }
    return swept;
  }

  #drop(at: number): void {
    const space = this.#space;
    const [capability, payer] = [R.capability.get(space, at), R.payer.get(space, at)];
    this.#byHash?.delete(keyOf(R.hash.get(space, at)));
    this.#rows().remove(R.row.get(space, at));
    refund(space, payer, RESOURCE.capabilities, 1);
    this.#capabilities.release(capability);
  }

  /** The record of a text, or -errno. Nobody can choose a hash, so looking it up tells nothing of one that is there. */
  #find(text: string): number {
    const match = TEXT.exec(text);
    const secret = match && decode(match[2] as string);
    if (match === null || secret === null) return -ERRNO.INVAL;
    const hash = sha256(secret);
    const at = this.#hashes().get(keyOf(hash));
    if (at === undefined || !same(R.hash.get(this.#space, at), hash)) return -ERRNO.NOENT;
    const object = this.#capabilities.object(R.capability.get(this.#space, at));
    return this.#objects.idText(object) === match[1] ? at : -ERRNO.NOENT;
  }

  #hashes(): Map<string, number> {
    if (this.#byHash === null) {
      this.#byHash = new Map();
      for (const row of this.#space.root(ROOT.sturdies) === 0 ? [] : this.#rows().rows()) {
        const at = this.#rows().address(row);
        this.#byHash.set(keyOf(R.hash.get(this.#space, at)), at);
      }
    }
    return this.#byHash;
  }

  #rows(): RecordTable {
    this.#table ??= RecordTable.open(this.#space, ROOT.sturdies, SturdyRecord.bytes);
    return this.#table;
  }
}

/** In a time that does not depend on where they differ. */
function same(a: Uint8Array, b: Uint8Array): boolean {
  let difference = a.length ^ b.length;
  for (let i = 0; i < a.length; i++) difference |= (a[i] as number) ^ (b[i] as number);
  return difference === 0;
}

const keyOf = (hash: Uint8Array): string => String.fromCharCode(...hash);

function encode(secret: Uint8Array): string {
  let text = '';
  for (let bit = 0; bit < 8 * secret.length; bit += 6) {
    const pair = ((secret[bit >> 3] as number) << 8) | (secret[(bit >> 3) + 1] ?? 0);
    text += DIGITS[(pair >> (10 - (bit & 7))) & 63];
  }
  return text;
}

/** Null where the bits behind the last byte are not zero: a secret has one text. */
function decode(text: string): Uint8Array | null {
  const secret = new Uint8Array(SECRET_BYTES + 1);
  for (let i = 0; i < text.length; i++) {
    const digit = DIGITS.indexOf(text[i] as string) << (10 - ((6 * i) & 7));
    const at = (6 * i) >> 3;
    secret[at] = (secret[at] as number) | (digit >> 8);
    if (at < SECRET_BYTES) secret[at + 1] = (secret[at + 1] as number) | (digit & 255);
  }
  return secret[SECRET_BYTES] === 0 ? secret.subarray(0, SECRET_BYTES) : null;
}

assert(
  STURDY_BYTES === 'perdure:'.length + 32 + 1 + Math.ceil((SECRET_BYTES * 8) / 6),
  'texts are of one length',
);
