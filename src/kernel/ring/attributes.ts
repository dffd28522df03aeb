/** What objects tell of themselves and take, between the structures of abi/ring.ts and those of tree and ports. */
import {
  ATTRIBUTE,
  ATTRIBUTES_BYTES,
  CHANGE,
  CHANGE_BYTES,
  LISTED,
  LISTED_BYTES,
  OPTION,
} from '../../abi/ring.ts';
import type { HostStat } from '../ports.ts';
import type { NodeStat } from '../tree.ts';

/** Device number of the space's own file tree ("perdure" in ASCII). */
export const TREE_DEVICE = 0x70657264757265n;

export function encodeStat(stat: HostStat): Uint8Array {
  const bytes = new Uint8Array(ATTRIBUTES_BYTES);
  const view = new DataView(bytes.buffer);
  view.setBigUint64(ATTRIBUTE.device, stat.device, true);
  view.setBigUint64(ATTRIBUTE.number, stat.inode, true);
  view.setUint8(ATTRIBUTE.type, stat.type);
  view.setBigUint64(ATTRIBUTE.links, stat.links, true);
  view.setBigUint64(ATTRIBUTE.size, BigInt(stat.size), true);
  view.setBigUint64(ATTRIBUTE.accessed, stat.accessedNs, true);
  view.setBigUint64(ATTRIBUTE.modified, stat.modifiedNs, true);
  view.setBigUint64(ATTRIBUTE.changed, stat.changedNs, true);
  return bytes;
}

/** What a server has filled in, as a stat; null where a size is none. */
export function decodeStat(bytes: Uint8Array): HostStat | null {
  const view = new DataView(bytes.buffer, bytes.byteOffset, ATTRIBUTES_BYTES);
  const size = view.getBigUint64(ATTRIBUTE.size, true);
  if (size > BigInt(Number.MAX_SAFE_INTEGER)) return null;
  return {
    device: view.getBigUint64(ATTRIBUTE.device, true),
    inode: view.getBigUint64(ATTRIBUTE.number, true),
    type: view.getUint8(ATTRIBUTE.type),
    links: view.getBigUint64(ATTRIBUTE.links, true),
    size: Number(size),
    accessedNs: view.getBigUint64(ATTRIBUTE.accessed, true),
    modifiedNs: view.getBigUint64(ATTRIBUTE.modified, true),
    changedNs: view.getBigUint64(ATTRIBUTE.changed, true),
  };
}

export const nodeStat = (stat: NodeStat): HostStat => ({
  device: TREE_DEVICE,
  inode: BigInt(stat.number),
  type: stat.type,
  links: BigInt(stat.links),
  size: stat.size,
  accessedNs: stat.accessed,
  modifiedNs: stat.modified,
  changedNs: stat.changed,
});

/** What something without attributes says of itself. */
export const plainStat = (type: number): HostStat => ({
  device: 0n,
  inode: 0n,
  type,
  links: 1n,
  size: 0,
  accessedNs: 0n,
  modifiedNs: 0n,
  changedNs: 0n,
});

/** An entry of a listing. */
export function encodeListed(cookie: number, number: bigint, type: number, name: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(LISTED_BYTES + name.length);
  const view = new DataView(bytes.buffer);
  view.setBigUint64(LISTED.cookie, BigInt(cookie), true);
  view.setBigUint64(LISTED.number, number, true);
  view.setUint32(LISTED.nameBytes, name.length, true);
  view.setUint8(LISTED.type, type);
  bytes.set(name, LISTED_BYTES);
  return bytes;
}

/** What `change` is to change; null for what stays. */
export interface Change {
  readonly size: number | null;
  readonly accessedNs: bigint | null;
  readonly modifiedNs: bigint | null;
}

/** Null where there are too few bytes, or the size is none. */
export function decodeChange(bytes: Uint8Array, options: number): Change | null {
  if (bytes.length < CHANGE_BYTES) return null;
  const view = new DataView(bytes.buffer, bytes.byteOffset, CHANGE_BYTES);
  const size = view.getBigUint64(CHANGE.size, true);
  if ((options & OPTION.size) !== 0 && size > BigInt(Number.MAX_SAFE_INTEGER)) return null;
  const time = (bit: number, at: number): bigint | null =>
    (options & bit) === 0 ? null : view.getBigUint64(at, true);
  return {
    size: (options & OPTION.size) === 0 ? null : Number(size),
    accessedNs: time(OPTION.accessed, CHANGE.accessed),
    modifiedNs: time(OPTION.modified, CHANGE.modified),
  };
}
export function encodeChange(size: number, accessed: bigint, modified: bigint): Uint8Array {
  const bytes = new Uint8Array(CHANGE_BYTES);
  const view = new DataView(bytes.buffer);
  view.setBigUint64(CHANGE.size, BigInt(size), true);
  view.setBigUint64(CHANGE.accessed, accessed, true);
  view.setBigUint64(CHANGE.modified, modified, true);
  return bytes;
}
