/** What a served object's functions give, as answers to operations of the object protocol (abi/ring.ts). */
import { ERRNO } from '../abi/errno.ts';
import { OPERATION, OPTION } from '../abi/ring.ts';
import type { Outgoing } from '../drivers/served.ts';
import { FILE_TYPE, type ServedAnswer } from '../kernel/ports.ts';
import { decodeChange, encodeListed, encodeStat, plainStat } from '../kernel/ring/attributes.ts';
import { apart } from './bytes.ts';
import {
  GuestError,
  type RequestContext,
  type ServedAttributes,
  type ServedEntry,
  type ServedObject,
  type ServedType,
} from './served-object.ts';

/** A request on its way to an object's function. */
export interface Request extends Outgoing {
  readonly context: RequestContext;
  /** The folder of the new name, for rename and link. */
  readonly folder: ServedObject;
}

const NONE = new Uint8Array(0);
const TYPES: Readonly<Record<ServedType, number>> = {
  file: FILE_TYPE.regularFile,
  folder: FILE_TYPE.directory,
  stream: FILE_TYPE.unknown,
  terminal: FILE_TYPE.characterDevice,
  link: FILE_TYPE.symbolicLink,
};
const STREAM = 0xffff_ffff_ffff_ffffn;
const APPEND = 0xffff_ffff_ffff_fffen;

export const failed = (errno: number): ServedAnswer => ({ result: -errno, value: 0n, data: NONE });
export const done = (result: number, data: Uint8Array = NONE, value = 0n): ServedAnswer => ({
  result,
  value,
  data: apart(data),
});
const UNSUPPORTED = failed(ERRNO.NOTSUP);

type Answering = (object: ServedObject, request: Request) => ServedAnswer | Promise<ServedAnswer>;

/** What does each operation but open, which is the business of whoever keeps what is open. */
const ANSWERS: Readonly<Record<number, Answering>> = {
  [OPERATION.read]: read,
  [OPERATION.write]: write,
  [OPERATION.list]: list,
  [OPERATION.describe]: describe,
  [OPERATION.create]: create,
  [OPERATION.remove]: remove,
  [OPERATION.rename]: rename,
  [OPERATION.link]: rename,
  [OPERATION.readLink]: readLink,
  [OPERATION.change]: change,
  [OPERATION.sync]: sync,
  [OPERATION.wait]: wait,
  [OPERATION.map]: map,
  [OPERATION.invoke]: invoke,
};

/** @throws what the object throws; GuestError for what the program has got wrong */
export function answerOf(object: ServedObject, request: Request): ServedAnswer | Promise<ServedAnswer> {
  return ANSWERS[request.operation]?.(object, request) ?? UNSUPPORTED;
}

/**
 * A path as programs write it, cleaned. `folder`: it ends with `/`, so it means one.
 * @throws GuestError PERM where it leads out, ILSEQ where it is no text, INVAL where no name can be so
 */
export function cleanPath(bytes: Uint8Array): { path: string; folder: boolean } {
  const text = textOf(bytes);
  if (text.startsWith('/')) throw new GuestError(ERRNO.PERM);
  const names: string[] = [];
  for (const name of text.split('/')) {
    if (name === '' || name === '.') continue;
    if (name !== '..') names.push(name);
    else if (names.pop() === undefined) throw new GuestError(ERRNO.PERM);
  }
  return { path: names.join('/'), folder: /(^|\/)\.{0,2}$/.test(text) && text !== '' };
}

function textOf(bytes: Uint8Array): string {
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw new GuestError(ERRNO.ILSEQ);
  }
  if (text.includes('\0')) throw new GuestError(ERRNO.INVAL);
  return text;
}

const pathOf = ({ given, givenFirst }: Outgoing): string => cleanPath(given.subarray(0, givenFirst)).path;
const secondOf = ({ given, givenFirst }: Outgoing): Uint8Array => given.subarray(givenFirst);

/** What an object is, as programs are told when they open it. */
export async function typeOf(object: ServedObject, context: RequestContext): Promise<number> {
  if (object.list !== undefined || object.open !== undefined) return TYPES.folder;
  if (object.describe === undefined) return TYPES.stream;
  return typeNumber((await object.describe('', { follow: true }, context)).type);
}

function typeNumber(type: ServedType = 'file'): number {
  const number = Object.hasOwn(TYPES, type) ? TYPES[type] : undefined;
  if (number === undefined) throw new TypeError(`there is no type of objects "${String(type)}"`);
  return number;
}

async function read(object: ServedObject, { offset, room, context }: Request): Promise<ServedAnswer> {
  if (object.read === undefined) return object.list === undefined ? UNSUPPORTED : failed(ERRNO.ISDIR);
  const data = bytesOf(await object.read({ offset: positionOf(offset), length: room }, context), 'read');
  return some(data, room);
}

async function write(object: ServedObject, { offset, given, context }: Request): Promise<ServedAnswer> {
  if (object.write === undefined) return object.list === undefined ? UNSUPPORTED : failed(ERRNO.ISDIR);
  const at = offset === APPEND ? 'end' : positionOf(offset);
  const said = (await object.write(given, { offset: at }, context)) ?? given.length;
  const { taken = given.length, end } = typeof said === 'number' ? { taken: said } : said;
  if (!Number.isInteger(taken) || taken < 0 || taken > given.length) {
    throw new RangeError(`write has taken ${taken} of ${given.length} bytes`);
  }
  if (at !== 'end') return done(taken);
  const size = end ?? (await object.describe?.('', { follow: true }, context))?.size ?? 0;
  return done(taken, NONE, BigInt(size));
}

/** As many of these bytes as there is room for. */
const some = (data: Uint8Array, room: number): ServedAnswer =>
  done(Math.min(data.length, room), data.subarray(0, room));

function positionOf(offset: bigint): bigint | null {
  return offset === STREAM ? null : offset;
}

function bytesOf(data: unknown, what: string): Uint8Array {
  if (data instanceof Uint8Array) return data;
  throw new TypeError(`${what} gives no Uint8Array`);
}

async function list(object: ServedObject, { offset, room, context }: Request): Promise<ServedAnswer> {
  if (object.list === undefined) return object.read === undefined ? UNSUPPORTED : failed(ERRNO.NOTDIR);
  const bytes = new Uint8Array(room);
  let used = 0;
  let cookie = 0;
  for await (const entry of await object.list(context)) {
    cookie++;
    if (BigInt(cookie) <= offset) continue;
    if (used >= room) break;
    const listed = encodeEntry(entry, cookie);
    bytes.set(listed.subarray(0, room - used), used);
    used += Math.min(listed.length, room - used);
  }
  return done(used, bytes.subarray(0, used));
}

function encodeEntry({ name, type, number = 0n }: ServedEntry, cookie: number): Uint8Array {
  if (typeof name !== 'string' || name === '' || /[/\0]/.test(name)) {
    throw new TypeError(`no entry can have the name ${JSON.stringify(name)}`);
  }
  return encodeListed(cookie, BigInt.asUintN(64, number), typeNumber(type), new TextEncoder().encode(name));
}

async function describe(object: ServedObject, request: Request): Promise<ServedAnswer> {
  const path = pathOf(request);
  const { room, context } = request;
  if (object.describe === undefined && path !== '') return UNSUPPORTED;
  const plain: ServedAttributes = { type: object.list === undefined ? 'stream' : 'folder' };
  const told = (await object.describe?.(path, { follow: follows(request) }, context)) ?? plain;
  const { type, size = 0, number = 0n, links = 1, modifiedNs = 0n, accessedNs = 0n } = told;
  if (!Number.isSafeInteger(size) || size < 0) throw new RangeError(`${size} is no size`);
  const changedNs = told.changedNs ?? modifiedNs;
  const times = { modifiedNs, accessedNs, changedNs };
  const bytes = encodeStat({
    ...plainStat(typeNumber(type)),
    size,
    inode: number,
    links: BigInt(links),
    ...times,
  });
  return room < bytes.length ? failed(ERRNO.INVAL) : done(bytes.length, bytes);
}

const follows = ({ options }: Outgoing): boolean => (options & OPTION.follow) !== 0;

function create(object: ServedObject, request: Request): ServedAnswer | Promise<ServedAnswer> {
  const isLink = (request.options & OPTION.symbolic) !== 0;
  if (!isLink && (request.options & OPTION.directory) === 0) return failed(ERRNO.INVAL);
  if (object.create === undefined) return UNSUPPORTED;
  const link = isLink ? textOf(secondOf(request)) : null;
  return nothing(object.create(pathOf(request), { link }, request.context));
}

function remove(object: ServedObject, request: Request): ServedAnswer | Promise<ServedAnswer> {
  if (object.remove === undefined) return UNSUPPORTED;
  const folder = (request.options & OPTION.directory) !== 0;
  return nothing(object.remove(pathOf(request), { folder }, request.context));
}

function rename(object: ServedObject, request: Request): ServedAnswer | Promise<ServedAnswer> {
  const { operation, folder, context } = request;
  const from = pathOf(request);
  const { path } = cleanPath(secondOf(request));
  if (operation === OPERATION.rename) {
    return object.rename === undefined
      ? UNSUPPORTED
      : nothing(object.rename(from, { folder, path }, context));
  }
  if (object.link === undefined) return UNSUPPORTED;
  return nothing(object.link(from, { folder, path, follow: follows(request) }, context));
}

async function readLink(object: ServedObject, request: Request): Promise<ServedAnswer> {
  if (object.readLink === undefined) return UNSUPPORTED;
  const text = new TextEncoder().encode(await object.readLink(pathOf(request), request.context));
  return some(text, request.room);
}

function change(object: ServedObject, request: Request): ServedAnswer | Promise<ServedAnswer> {
  const to = decodeChange(secondOf(request), request.options);
  if (to === null) return failed(ERRNO.INVAL);
  if (object.change === undefined) return UNSUPPORTED;
  return nothing(object.change(pathOf(request), { ...to, follow: follows(request) }, request.context));
}

function sync(object: ServedObject, { context }: Request): ServedAnswer | Promise<ServedAnswer> {
  return object.sync === undefined ? UNSUPPORTED : nothing(object.sync(context));
}

async function wait(object: ServedObject, { options, context }: Request): Promise<ServedAnswer> {
  const wanted = options & (OPTION.read | OPTION.write);
  if (wanted === 0) return failed(ERRNO.INVAL);
  if (object.wait === undefined) return done(wanted);
  const until = { read: (wanted & OPTION.read) !== 0, write: (wanted & OPTION.write) !== 0 };
  const { read = false, write = false, bytes = 0 } = await object.wait(until, context);
  const ready = (read ? OPTION.read : 0) | (write ? OPTION.write : 0);
  if ((ready & wanted) === 0) throw new TypeError('wait has ended, and neither can be read nor written');
  return done(ready & wanted, NONE, BigInt(bytes));
}

/** Its bytes: as it says, or as they are read. */
async function map(object: ServedObject, { context }: Request): Promise<ServedAnswer> {
  if (object.map !== undefined) return done(0, bytesOf(await object.map(context), 'map'));
  if (object.list !== undefined) return failed(ERRNO.ISDIR);
  if (object.read === undefined || object.describe === undefined) return UNSUPPORTED;
  const { size = 0 } = await object.describe('', { follow: true }, context);
  const bytes = new Uint8Array(size);
  let filled = 0;
  while (filled < size) {
    const range = { offset: BigInt(filled), length: size - filled };
    const piece = bytesOf(await object.read(range, context), 'read').subarray(0, size - filled);
    if (piece.length === 0) break;
    bytes.set(piece, filled);
    filled += piece.length;
  }
  return done(0, bytes.subarray(0, filled));
}

async function invoke(
  object: ServedObject,
  { method, given, room, context }: Request,
): Promise<ServedAnswer> {
  if (object.invoke === undefined) return UNSUPPORTED;
  const made = await object.invoke(method, given, context);
  if (made instanceof Uint8Array) return some(made, room);
  if (!Number.isInteger(made.result) || made.result < 0 || made.result >= 2 ** 31) {
    throw new RangeError('the result of a method is a whole number from 0 to 2147483647');
  }
  return done(made.result, bytesOf(made.bytes ?? NONE, 'invoke').subarray(0, room));
}

async function nothing(doing: void | Promise<void>): Promise<ServedAnswer> {
  await doing;
  return done(0);
}
