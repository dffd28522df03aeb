/**
 * Who there is: the domain table in the space, and the handles of its rows. Makes records, ends domains, forgets them;
 * runs nothing.
 */
import { RESOURCE, UNLIMITED } from '../abi/account.ts';
import { assert } from '../base/assert.ts';
import { EnvironmentError } from '../base/errors.ts';
import { DEFAULT_MEMORY_LIMIT_BYTES } from '../base/limits.ts';
import { RecordTable, ROOT, type Space, SUPERBLOCK_ADDRESS, Superblock } from '../space/index.ts';
import { charge, holdAccount, type Limits, limitOf, openAccount, refund } from './account/account.ts';
import { cpuLimitMs } from './account/time.ts';
import type { Ending } from './caller.ts';
import type { Grant } from './capability/authority.ts';
import { Programs } from './capability/programs.ts';
import { checkFit, checkName, wantsCompiler } from './checks.ts';
import type { Core } from './core.ts';
import {
  Domain,
  DomainRecord,
  END,
  END_NAMES,
  type EndName,
  FLAG,
  hashOf,
  STATE,
  STATE_NAMES,
  type StateName,
} from './domain.ts';
import { Maker, MakerRecord } from './maker.ts';
import { framesOf, mib, releaseExtents } from './memory.ts';
import type { LoadedModule, ProgramForm } from './program.ts';
import { encodeTrace, NO_TRACE, type Trace } from './trace.ts';

const encoder = new TextEncoder();
const R = DomainRecord.fields;
const S = Superblock.fields;

export interface DomainOptions {
  /** Not empty, unique in the space, no control characters, at most DOMAIN_NAME_MAX_BYTES. */
  name: string;
  module: LoadedModule;
  /** Most bytes of all its memories. */
  memoryLimitBytes?: number;
  /** Most processor time in milliseconds; 0 for no limit. */
  cpuLimitMs?: number;
  /** Not part of checkpoints. */
  volatile?: boolean;
  detached?: boolean;
  /** It can be called again after a call returned or trapped. */
  resident?: boolean;
  /** Imports nobody supplies trap when called, instead of being refused. */
  trapUnknownImports?: boolean;
  /** It was granted the compiler (abi/made.ts). */
  compiler?: boolean;
  /** What it is to have from its beginning. */
  grants?: readonly Grant[];
  /** Its code is brought to run only when it has its first turn; what fails then ends it. */
  lazily?: boolean;
  /** What else it may use; the usual where it is not given. */
  limits?: Limits;
  /** An account that pays for it, with others: then none of the limits counts. */
  account?: number;
  /** The personality's state for it; the kernel releases it with the domain, and when it cannot be made. */
  personalityState?: number;
}

export interface DomainStatus {
  id: number;
  name: string;
  state: StateName;
  /** How it ended; 'none' while it has not. */
  end: EndName;
  exitCode: number;
  reason: string;
  hash: string;
  memoryBytes: number;
  memoryLimitBytes: number;
  /** Bytes of the space it holds. */
  spaceBytes: number;
  cpuMicros: number;
  cpuLimitMs: number;
  volatile: boolean;
  detached: boolean;
  /** Its code runs in a process of its own. */
  enforced: boolean;
  /** It was compiled with windows, though it does not ask for them. */
  windowed: boolean;
  personalityState: number;
}

/** The program for a hash in a form, or undefined where it is not at hand. */
export type ModuleSource = (hash: string, form: ProgramForm) => LoadedModule | undefined;

export class Roster {
  readonly #core: Core;
  readonly #space: Space;
  readonly #table: RecordTable;
  readonly #domains = new Map<number, Domain>();
  readonly #byName = new Map<string, Domain>();
  readonly #onEnd: (id: number) => void;
  readonly #onDrop: (id: number) => void;
  /** Ends what activations do in a domain that goes. Set by whoever lets them run. */
  sever: (domain: Domain) => void = () => {};

  constructor(core: Core, onEnd: (id: number) => void, onDrop: (id: number) => void = () => {}) {
    this.#onDrop = onDrop;
    this.#core = core;
    this.#space = core.space;
    this.#onEnd = onEnd;
    core.peek = (id) => this.peek(id);
    this.#table = RecordTable.openWidened(core.space, ROOT.domains, DomainRecord.bytes);
  }

  /** The programs that domains of a space need to go on. */
  static moduleHashes(space: Space): string[] {
    const table = RecordTable.openWidened(space, ROOT.domains, DomainRecord.bytes);
    const needed = [...table.rows()].map((row) => table.address(row)).filter((at) => needsModule(space, at));
    return [...new Set([...needed.map((at) => hashOf(space, at)), ...Programs.hashes(space)])];
  }

  get(id: number): Domain {
    const domain = this.#domains.get(id);
    if (domain === undefined) throw new EnvironmentError('no-such-domain', `there is no domain ${id}`);
    return domain;
  }
  peek(id: number): Domain | undefined {
    return this.#domains.get(id);
  }
  named(name: string): Domain | undefined {
    return this.#byName.get(name);
  }
  ids(): number[] {
    return [...this.#domains.keys()];
  }

  /**
   * A record for a new domain, with nothing to it yet.
   * @throws EnvironmentError for a name that cannot be, or a program that can be no such domain
   */
  add(options: DomainOptions): Domain {
    const space = this.#space;
    checkFit(options.module, options.volatile === true);
    checkName(options.name, this.#byName.has(options.name));
    const row = this.#table.insert();
    const at = this.#table.address(row);
    const id = S.nextDomain.get(space, SUPERBLOCK_ADDRESS);
    S.nextDomain.set(space, SUPERBLOCK_ADDRESS, id + 1);
    const name = encoder.encode(options.name);
    R.id.set(space, at, id);
    R.row.set(space, at, row);
    R.state.set(space, at, STATE.created);
    R.flags.set(
      space,
      at,
      (options.volatile ? FLAG.volatile : 0) |
        (options.detached ? FLAG.detached : 0) |
        (options.resident ? FLAG.resident : 0) |
        (options.trapUnknownImports ? FLAG.trapUnknown : 0) |
        (options.module.alone === undefined ? 0 : FLAG.enforced),
    );
    R.name.set(space, at, name);
    R.nameBytes.set(space, at, name.length);
    R.windowed.set(space, at, options.module.windowed === true ? 1 : 0);
    R.hash.set(space, at, hashBytes(options.module));
    R.account.set(space, at, this.#account(options));
    R.created.set(space, at, this.#core.now());
    R.personality.set(space, at, options.personalityState ?? 0);
    const domain = new Domain(space, at, options.module, this.#core.boards);
    this.#adopt(domain);
    if (options.compiler === true && wantsCompiler(options.module)) {
      domain.maker = Maker.create(space, this.#makers(), id, options.module, this.#core.loader);
    }
    return domain;
  }

  /** The account of a new domain, held for it. */
  #account({ account, memoryLimitBytes, cpuLimitMs = 0, limits }: DomainOptions): number {
    const memory = memoryLimitBytes ?? DEFAULT_MEMORY_LIMIT_BYTES;
    const cpu = cpuLimitMs === 0 ? UNLIMITED : Math.ceil(cpuLimitMs * 1000);
    const at = account ?? openAccount(this.#space, { memory, cpu, ...limits });
    holdAccount(this.#space, at);
    return at;
  }

  /** The table of makers: one comes to be with the first of them. */
  #makers(): RecordTable {
    return RecordTable.open(this.#space, ROOT.makers, MakerRecord.bytes);
  }

  /**
   * Handles for all rows of a space that was loaded. Volatile domains are dropped.
   * @param source the program for a hash, or undefined where it is not at hand
   * @throws EnvironmentError naming a program that is missing
   */
  recover(source: ModuleSource): Domain[] {
    const [space, makers] = [this.#space, new Map<number, number>()];
    const table = space.root(ROOT.makers) === 0 ? null : this.#makers();
    for (const row of table?.rows() ?? []) {
      const at = (table as RecordTable).address(row);
      makers.set(MakerRecord.fields.domain.get(space, at), at);
    }
    for (const row of this.#table.rows()) this.#recoverRow(this.#table.address(row), source, makers);
    this.#core.activations.recover((id) => this.#domains.get(id));
    for (const domain of this.#domains.values()) recoverState(domain, this.#core);
    this.#core.waits?.recover();
    // What they have may be paid for by any domain: all are there before one goes.
    for (const domain of [...this.#domains.values()]) {
      if (domain.hasFlag(FLAG.volatile)) this.drop(domain);
      else if (domain.state !== STATE.exited) this.bind(domain);
    }
    this.#core.sturdies.sweep();
    this.#core.programs.recover((hash) => source(hash, 'space'));
    return [...this.#domains.values()];
  }

  #recoverRow(at: number, source: ModuleSource, makers: ReadonlyMap<number, number>): void {
    const space = this.#space;
    const needed = needsModule(space, at);
    const hash = hashOf(space, at);
    const module = needed ? source(hash, formAt(space, at)) : undefined;
    // Domains that have ended or are to be dropped are told and cleaned up without their program.
    const domain = new Domain(space, at, module ?? ({ hash } as LoadedModule), this.#core.boards);
    if (needed && module === undefined) {
      throw new EnvironmentError(
        'missing-program',
        `${domain.name}: its program ${hash} is not in the store`,
      );
    }
    if (domain.account === 0) this.#openAccountOfOld(domain);
    this.#adopt(domain);
    const maker = makers.get(domain.id);
    if (maker !== undefined) domain.maker = new Maker(space, maker, domain.module, this.#core.loader);
  }

  /** Before version 3 a domain had its limits in its record. */
  #openAccountOfOld(domain: Domain): void {
    const [space, { at }] = [this.#space, domain];
    const cpuLimitMs = R.cpuLimit.get(space, at) / 1000;
    const options = { memoryLimitBytes: R.memoryLimit.get(space, at), cpuLimitMs };
    R.account.set(space, at, this.#account({ ...options, name: domain.name, module: domain.module }));
    charge(space, domain.account, RESOURCE.cpu, R.cpuUsed.get(space, at));
    R.memoryCharged.set(space, at, 0);
  }

  status(domain: Domain): DomainStatus {
    const space = this.#space;
    const { at } = domain;
    return {
      id: domain.id,
      name: domain.name,
      state: STATE_NAMES[domain.seat?.computing === true ? STATE.running : domain.state] as StateName,
      end: END_NAMES[R.end.get(space, at)] as EndName,
      exitCode: R.exitCode.get(space, at),
      reason: domain.reason,
      hash: hashOf(space, at),
      memoryBytes: domain.memoryBytes,
      memoryLimitBytes: limitOf(space, domain.account, RESOURCE.memory),
      spaceBytes: framesOf(space, domain),
      cpuMicros: R.cpuUsed.get(space, at),
      cpuLimitMs: cpuLimitMs(domain),
      volatile: domain.hasFlag(FLAG.volatile),
      detached: domain.hasFlag(FLAG.detached),
      enforced: domain.hasFlag(FLAG.enforced),
      windowed: R.windowed.get(space, at) === 1,
      personalityState: R.personality.get(space, at),
    };
  }

  /** The domain will not run again: everything but its record is given back. */
  end(domain: Domain, end: number, code: number, reason: string, trace: Trace = NO_TRACE): void {
    const space = this.#space;
    const { at } = domain;
    this.#giveBack(domain, end, code);
    R.end.set(space, at, end);
    R.exitCode.set(space, at, code);
    domain.setTexts(withLimit(domain, end, code, reason), encodeTrace(trace));
    domain.state = STATE.exited;
    this.#onEnd(domain.id);
    this.#rest(domain);
  }

  /** Forgets the record. */
  drop(domain: Domain): void {
    if (domain.state !== STATE.exited) this.#giveBack(domain, END.none, 0);
    domain.setTexts('', '');
    this.#core.authority.forget(domain);
    this.#core.children.forget(domain);
    this.#rest(domain);
    const payer = R.paidBy.get(this.#space, domain.at);
    if (payer !== 0) refund(this.#space, payer, RESOURCE.domains, 1);
    this.#core.releaseAccount(domain.account);
    domain.alive = false;
    domain.leaveBoard();
    this.#domains.delete(domain.id);
    this.#byName.delete(domain.name);
    this.#table.remove(R.row.get(this.#space, domain.at));
    this.#onDrop(domain.id);
  }

  /** Tells those who waited for the domain that it has nothing to run. */
  rests(domain: Domain): void {
    for (const id of this.#core.children.take(domain.id)) this.#core.wake(id);
  }
  /** The same of one that has ended; those that were to end with it end. */
  #rest(domain: Domain): void {
    const { children, control } = this.#core;
    this.rests(domain);
    for (const id of children.endWith(domain)) if (this.peek(id) !== undefined) control?.remove(id);
  }

  /** A domain is there, and has not run since: its personality gives it what it stands on. */
  bind(domain: Domain): void {
    const state = R.personality.get(this.#space, domain.at);
    if (state !== 0) this.#core.personality.bind?.(domain.id, state);
  }

  /** Gives back a personality's state for which there will be no domain. */
  release(personalityState: number): void {
    this.#core.personality.release?.(this.#space, 0, personalityState, { kind: 'removed', code: 0 });
  }

  #giveBack(domain: Domain, end: number, code: number): void {
    const space = this.#space;
    const { at } = domain;
    this.sever(domain);
    domain.halted = true;
    domain.dropInstance();
    this.#core.waits?.forget(domain);
    this.#core.moveEpoch();
    domain.maker?.drop(this.#makers());
    domain.maker = null;
    domain.leaveProcess();
    this.#core.rings.forget(domain);
    this.#core.windows.forget(domain);
    this.#core.authority.release(domain);
    const state = R.personality.get(space, at);
    R.personality.set(space, at, 0);
    if (state !== 0) {
      const kind = end === END.exception ? 'trap' : end === END.none ? 'removed' : END_NAMES[end];
      this.#core.personality.release?.(space, domain.id, state, {
        kind: kind as Ending['kind'],
        code,
      });
    }
    releaseExtents(domain);
    const tables = R.tables.get(space, at);
    if (tables !== 0) space.heap.free(tables);
    R.tables.set(space, at, 0);
  }

  #adopt(domain: Domain): void {
    this.#domains.set(domain.id, domain);
    this.#byName.set(domain.name, domain);
    this.#core.children.noteDomain(domain);
    this.#core.programs.met(domain.module);
  }
}

/**
 * A program that is refused memory ends by its own hand, in whatever way its language has: the reason says what lay
 * behind it.
 */
function withLimit(domain: Domain, end: number, code: number, reason: string): string {
  const badly = end === END.trap || end === END.exception || (end === END.exit && code !== 0);
  if (!badly || !domain.hasFlag(FLAG.memoryRefused)) return reason;
  const most = limitOf(domain.space, domain.account, RESOURCE.memory);
  const limit = `its memory limit of ${mib(most)} was reached`;
  return reason === '' ? limit : `${reason}; ${limit}`;
}

/** What of a domain's state is not in its record. */
function recoverState(domain: Domain, { activations }: Core): void {
  const { space, at } = domain;
  domain.halted = domain.ended || domain.stopped;
  if (domain.ended || domain.main !== null) return;
  const state = R.state.get(space, at);
  if (state === STATE.created || domain.stackPointer === domain.stackBase) return;
  // In a space of version 2 the record was the activation's too.
  const activation = activations.start(domain, R.oldEntry.get(space, at));
  activation.innermost.entered = true;
  activations.enter(activation, domain);
  if (R.oldScratchUsed.get(space, at) !== 0) activation.scratch = R.oldScratch.get(space, at);
  if (state !== STATE.stopped) domain.state = STATE.ready;
}

/** Whether the record's domain will run again. */
function needsModule(space: Space, at: number): boolean {
  return R.state.get(space, at) !== STATE.exited && (R.flags.get(space, at) & FLAG.volatile) === 0;
}

function formAt(space: Space, at: number): ProgramForm {
  if ((R.flags.get(space, at) & FLAG.enforced) !== 0) return 'process';
  return R.windowed.get(space, at) === 1 ? 'windows' : 'space';
}

const hashes = new WeakMap<LoadedModule, Uint8Array>();
function hashBytes(module: LoadedModule): Uint8Array {
  let bytes = hashes.get(module);
  if (bytes === undefined) {
    const { hash } = module;
    assert(/^[0-9a-f]{64}$/.test(hash), 'a program is named by its SHA-256');
    bytes = Uint8Array.from({ length: 32 }, (_, i) => Number.parseInt(hash.slice(2 * i, 2 * i + 2), 16));
    hashes.set(module, bytes);
  }
  return bytes;
}
