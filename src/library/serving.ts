/**
 * A served object at work: requests of programs become calls of its functions, and what those give or throw becomes answers. Keeps what
 * is under way, so that it can be given up, and what has been opened, by the request that opened it.
 */
import { ERRNO } from '../abi/errno.ts';
import { RIGHT } from '../abi/objects.ts';
import { OPERATION, OPTION } from '../abi/ring.ts';
import type { Serving as HostServing } from '../cli/servedhere.ts';
import type { RightName } from '../cli/types.ts';
import type { Notice, OpenedName, Outgoing } from '../drivers/served.ts';
import { FILE_TYPE, type ServedAnswer } from '../kernel/ports.ts';
import { answerOf, cleanPath, done, failed, typeOf } from './answers.ts';
import {
  errnoOf,
  GuestError,
  type OpenHow,
  type RequestContext,
  type ServedObject,
} from './served-object.ts';

/** Something that was opened: what it is, what it is called over restarts, and whether it is told that it is closed. */
interface Opened {
  readonly object: ServedObject;
  readonly key: string;
  readonly closes: boolean;
}

/** As an earlier process opened it. */
const REOPENED: OpenHow = {
  create: false,
  exclusive: false,
  truncate: false,
  folder: false,
  follow: true,
  read: true,
  write: true,
};

export class Serving implements HostServing {
  readonly #root: Opened;
  readonly #problem: (text: string) => void;
  /** By the number of the request that opened it; a promise while it is found again after a restart. */
  readonly #opened = new Map<number, Opened | Promise<Opened>>();
  readonly #underWay = new Map<number, AbortController>();

  constructor(root: ServedObject, problem: (text: string) => void) {
    this.#root = { object: root, key: '', closes: false };
    this.#problem = problem;
  }

  async perform(request: Outgoing): Promise<ServedAnswer> {
    const control = new AbortController();
    this.#underWay.set(request.id, control);
    const { signal } = control;
    try {
      return await this.#answer(request, signal);
    } catch (error) {
      const errno = errnoOf(error, signal);
      if (errno === undefined) this.#tell(request.name, error);
      return failed(errno ?? ERRNO.IO);
    } finally {
      this.#underWay.delete(request.id);
    }
  }

  notice({ what, id }: Notice): void {
    if (what === 'canceled') {
      this.#underWay.get(id)?.abort(new GuestError(ERRNO.CANCELED));
      return;
    }
    const opened = this.#opened.get(id);
    this.#opened.delete(id);
    // Where it is still being found again, whoever does that closes it.
    if (opened !== undefined && !(opened instanceof Promise)) this.#close(opened);
  }

  over(reason: Error): void {
    for (const control of this.#underWay.values()) control.abort(reason);
    this.#opened.clear();
  }

  async #answer(request: Outgoing, signal: AbortSignal): Promise<ServedAnswer> {
    const context: RequestContext = {
      id: request.id,
      badge: request.badge,
      rights: (Object.keys(RIGHT) as RightName[]).filter((name) => (request.rights & RIGHT[name]) !== 0),
      again: request.again,
      signal,
    };
    const on = request.opened === null ? this.#root : await this.#find(request.opened, context);
    if (request.operation === OPERATION.open) return this.#open(on, request, context);
    const to =
      request.to === null ? on : request.to === 'root' ? this.#root : await this.#find(request.to, context);
    return answerOf(on.object, { ...request, context, folder: to.object });
  }

  /** What is opened is known from here on, and told by `released` when nobody has it, or it could not be given. */
  async #open(on: Opened, request: Outgoing, context: RequestContext): Promise<ServedAnswer> {
    const { options } = request;
    const { path, folder } = cleanPath(request.given.subarray(0, request.givenFirst));
    const has = (bit: number): boolean => (options & bit) !== 0;
    let { object } = on;
    if (path !== '') {
      if (object.open === undefined) return failed(ERRNO.NOTSUP);
      const how = {
        create: has(OPTION.create),
        exclusive: has(OPTION.exclusive),
        truncate: has(OPTION.truncate),
        folder: has(OPTION.directory) || folder,
        follow: has(OPTION.follow),
        read: has(OPTION.read),
        write: has(OPTION.write),
      };
      object = checked(await object.open(path, how, context));
    }
    const key = path === '' ? on.key : (object.key ?? (on.key === '' ? path : `${on.key}/${path}`));
    // What opens itself is the same as before, and as open.
    const opened: Opened = { object, key, closes: path !== '' };
    try {
      const type = await typeOf(object, context);
      if ((has(OPTION.directory) || folder) && type !== FILE_TYPE.directory)
        throw new GuestError(ERRNO.NOTDIR);
      context.signal.throwIfAborted();
      this.#opened.set(request.id, opened);
      return { ...done(0), opened: { type, key } };
    } catch (error) {
      this.#close(opened);
      throw error;
    }
  }

  /** What was opened, in this process or an earlier one. */
  async #find({ id, key }: OpenedName, context: RequestContext): Promise<Opened> {
    const known = this.#opened.get(id);
    if (known !== undefined) return known;
    const finding = this.#again(key, context).then((object) => ({ object, key, closes: key !== '' }));
    this.#opened.set(id, finding);
    try {
      const found = await finding;
      if (this.#opened.get(id) === finding) this.#opened.set(id, found);
      else this.#close(found);
      return found;
    } catch (error) {
      if (this.#opened.get(id) === finding) this.#opened.delete(id);
      throw error;
    }
  }

  async #again(key: string, context: RequestContext): Promise<ServedObject> {
    const { object } = this.#root;
    if (key === '') return object;
    if (object.reopen !== undefined) return checked(await object.reopen(key, context));
    if (object.open === undefined) throw new GuestError(ERRNO.STALE);
    return checked(await object.open(key, REOPENED, context));
  }

  #close({ object, closes }: Opened): void {
    try {
      if (closes) object.closed?.();
    } catch (error) {
      this.#tell('closed', error);
    }
  }

  #tell(name: string, error: unknown): void {
    this.#problem(`${name}: ${error instanceof Error ? error.message : String(error)}`);
  }
}

function checked(object: ServedObject): ServedObject {
  if (typeof object !== 'object' || object === null) throw new TypeError('what is opened is no object');
  const { key } = object;
  if (key === undefined || (typeof key === 'string' && key.isWellFormed())) return object;
  throw new TypeError('a key is a text');
}
