/** The calls by which programs make domains (abi/domains.ts). */
import { RESOURCE } from '../../abi/account.ts';
import { DOMAIN_FLAG, DOMAIN_FLAGS_ALL, DOMAIN_STATUS_BYTES } from '../../abi/domains.ts';
import { ERRNO } from '../../abi/errno.ts';
import { OBJECT, RIGHT, RIGHTS_ALL } from '../../abi/objects.ts';
import { EnvironmentError } from '../../base/errors.ts';
import { DOMAIN_NAME_MAX_BYTES, GRANT_NAME_MAX_BYTES } from '../../base/limits.ts';
import { SpaceFullError } from '../../space/index.ts';
import { charge, mayCharge } from '../account/account.ts';
import type { Caller } from '../caller.ts';
import type { KernelCalls } from '../calls.ts';
import type { Core } from '../core.ts';
import { type Domain, DomainRecord, FLAG, STATE } from '../domain.ts';
import type { LoadedModule } from '../program.ts';
import type { DomainOptions } from '../roster.ts';
import { findGrant, setGrant } from './grants.ts';
import { PROGRAM_RIGHTS } from './programs.ts';

const R = DomainRecord.fields;
const decoder = new TextDecoder('utf-8', { fatal: true });
/** States of a domain that has nothing to run. */
const RESTS: readonly number[] = [STATE.created, STATE.idle, STATE.exited];
const EXPORT_NAME_MAX_BYTES = 1024;

/** What the calls do to domains: the kernel's own surface (kernel.ts). */
export interface DomainControl {
  createDomain(options: DomainOptions): number;
  start(id: number, exportName: string): void;
  stop(id: number): boolean;
  resume(id: number): boolean;
  remove(id: number): void;
}

/** The domain at a handle of the caller, or -errno. */
function find(core: Core, handle: number, rights: number): Domain | number {
  const found = core.kinds.find(handle, rights, OBJECT.domain);
  if (typeof found === 'number') return found;
  return core.peek(core.objects.a(found.object)) ?? -ERRNO.GONE;
}

type Act = (domain: Domain, control: DomainControl) => number;
function manage(core: Core, handle: number, act: Act): number {
  const domain = find(core, handle, RIGHT.manage);
  if (typeof domain === 'number') return domain;
  return core.control === null ? -ERRNO.NOTSUP : act(domain, core.control);
}

export function domainCalls(core: Core): KernelCalls {
  return {
    program_own: { type: '=i', call: () => giveProgram(core, core.caller(), core.caller().module) },
    domain_create: {
      type: 'iiiii=i',
      call: (caller, program: number, name: number, length: number, account: number, flags: number) =>
        create(core, caller, { program, name, length, account, flags }),
    },
    domain_grant: {
      type: 'iiiii=i',
      call: (caller, handle: number, pointer: number, length: number, what: number, rights: number) => {
        if (length >>> 0 > GRANT_NAME_MAX_BYTES || length === 0) return -ERRNO.INVAL;
        const name = caller.readBytes(pointer, length);
        if (name === null) return -ERRNO.FAULT;
        return manage(core, handle, (domain) => grant(core, domain, name, what, rights));
      },
    },
    domain_start: {
      type: 'iii=i',
      call: (caller, handle: number, pointer: number, length: number) => {
        const name = text(caller, pointer, length, EXPORT_NAME_MAX_BYTES);
        if (typeof name === 'number') return name === -ERRNO.NAMETOOLONG ? -ERRNO.NOENT : name;
        return manage(core, handle, (domain, control) => {
          const free = domain.state === STATE.created || domain.state === STATE.idle;
          if (!free || core.isRunning(domain)) return -ERRNO.BUSY;
          return attempt(() => {
            control.start(domain.id, name);
            return 0;
          });
        });
      },
    },
    domain_stop: { type: 'i=i', call: (caller, handle: number) => stop(core, caller, handle) },
    domain_resume: act(core, (domain, control) => (control.resume(domain.id) ? 0 : -ERRNO.BUSY)),
    domain_destroy: act(core, (domain, control) => {
      control.remove(domain.id);
      // It may have been the caller itself, or have taken it along: that unwinds, and is removed when it has.
      if (core.caller().ending !== null) throw core.unwind;
      return 0;
    }),
    domain_wait: {
      type: 'i=i',
      call: (caller, handle: number) => {
        const domain = find(core, handle, RIGHT.read);
        if (typeof domain === 'number') return domain;
        if (domain === core.caller()) return -ERRNO.DEADLK;
        if (RESTS.includes(domain.state)) return 0;
        core.children.wait(domain.id, core.caller().id);
        return caller.block();
      },
    },
    domain_status: {
      type: 'ii=i',
      call: (caller, handle: number, pointer: number) => {
        const domain = find(core, handle, RIGHT.read);
        if (typeof domain === 'number') return domain;
        return caller.writeBytes(pointer, statusOf(domain)) ? 0 : -ERRNO.FAULT;
      },
    },
  };
}

function stop(core: Core, caller: Caller, handle: number): number {
  if (caller.getScratch(0) !== 0n) return 0; // it had stopped itself, and goes on
  return manage(core, handle, (domain, control) => {
    if (!control.stop(domain.id)) return -ERRNO.BUSY;
    if (domain !== core.caller()) return 0;
    caller.setScratch(0, 1n);
    throw core.unwind;
  });
}

/** A call that does something to a domain. */
const act = (core: Core, what: Act): KernelCalls[string] => ({
  type: 'i=i',
  call: (_, handle: number) => manage(core, handle, what),
});

interface Wanted {
  readonly program: number;
  readonly name: number;
  readonly length: number;
  readonly account: number;
  readonly flags: number;
}

function create(core: Core, caller: Caller, wanted: Wanted): number {
  const { space, clists, objects, capabilities, control } = core;
  const maker = core.caller();
  const program = core.kinds.find(wanted.program, RIGHT.invoke, OBJECT.program);
  if (typeof program === 'number') return program;
  const module = core.programs.find(program.object);
  let account = maker.account;
  if (wanted.account !== 0) {
    const found = core.kinds.find(wanted.account, RIGHT.write, OBJECT.account);
    if (typeof found === 'number') return found;
    account = objects.a(found.object);
  }
  const given = wanted.length === 0 ? '' : text(caller, wanted.name, wanted.length, DOMAIN_NAME_MAX_BYTES);
  if (typeof given === 'number') return given;
  if ((wanted.flags & ~DOMAIN_FLAGS_ALL) !== 0 || given.includes('/')) return -ERRNO.INVAL;
  if (module === undefined) return -ERRNO.NOENT;
  if (control === null) return -ERRNO.NOTSUP;
  if (!mayCharge(space, account, RESOURCE.domains, 1)) return -ERRNO.DQUOT;
  return attempt(() => {
    const bad = clists.reserve(maker, 1);
    if (bad !== 0) return bad;
    const options = { module, account, maker, flags: wanted.flags, given };
    const domain = make(core, control, options);
    if (typeof domain === 'number') return domain;
    const root = core.authority.domain(domain.id);
    const own = capabilities.derive(root.capability, root.turn, RIGHTS_ALL, 0n, maker.account);
    return clists.insert(maker, own, 0, RIGHTS_ALL);
  });
}

interface Making {
  readonly module: LoadedModule;
  readonly account: number;
  readonly maker: Domain;
  readonly flags: number;
  readonly given: string;
}

/** A domain that nobody has a capability to yet. @throws what `attempt` explains, with nothing left */
function make(
  core: Core,
  control: DomainControl,
  { module, account, maker, flags, given }: Making,
): Domain | number {
  const { space, personality } = core;
  const name = `${maker.name}/${given === '' ? core.nextDomain : given}`;
  if (new TextEncoder().encode(name).length > DOMAIN_NAME_MAX_BYTES) return -ERRNO.NAMETOOLONG;
  const id = control.createDomain({
    ...{ name, module, account, lazily: true },
    volatile: maker.hasFlag(FLAG.volatile) || (flags & DOMAIN_FLAG.volatile) !== 0,
    detached: maker.hasFlag(FLAG.detached),
    resident: (flags & DOMAIN_FLAG.resident) !== 0,
    personalityState: personality.begin?.(space, name) ?? 0,
  });
  const domain = core.peek(id) as Domain;
  charge(space, account, RESOURCE.domains, 1);
  R.paidBy.set(space, domain.at, account);
  if ((flags & DOMAIN_FLAG.linked) !== 0) core.children.link(domain, maker);
  try {
    core.authority.domain(id);
    core.made(id);
  } catch (error) {
    control.remove(id);
    throw error;
  }
  return domain;
}

function grant(core: Core, domain: Domain, name: Uint8Array, what: number, rights: number): number {
  if (domain.state === STATE.exited) return -ERRNO.BUSY;
  return attempt(() => {
    const { clists, space } = core;
    const old = findGrant(space, domain, name);
    if (old >= 0 && clists.isLeft(domain, old)) {
      const found = clists.look(core.caller(), what, RIGHT.share);
      if (typeof found === 'number') return found;
      clists.revive(domain, old, found, found.rights & rights & ~RIGHT.revoke);
      core.moveEpoch();
      return 0;
    }
    const handle = clists.pass(core.caller(), what, domain, rights);
    if (handle < 0) return handle;
    let bad: number = -ERRNO.NOMEM;
    try {
      bad = setGrant(space, domain, name, handle);
    } finally {
      if (bad !== 0) clists.close(domain, handle);
    }
    if (bad === 0 && old >= 0) {
      clists.close(domain, old);
      core.moveEpoch(); // imports that were bound by the name lead elsewhere now
    }
    return bad;
  });
}

/** The program that a domain runs, in its list: a handle, or -errno. @throws SpaceFullError with nothing changed */
export function giveProgram(core: Core, domain: Domain, module: LoadedModule): number {
  if (module.alone !== undefined) return -ERRNO.NOTSUP;
  const bad = core.clists.reserve(domain, 1);
  if (bad !== 0) return bad;
  const object = core.programs.create(module);
  let capability: number;
  try {
    capability = core.capabilities.root(object, PROGRAM_RIGHTS, domain.account);
  } catch (error) {
    core.objects.destroy(object);
    throw error;
  }
  return core.clists.insert(domain, capability, 0, PROGRAM_RIGHTS);
}

/** What went wrong, as programs are told. */
function attempt(act: () => number): number {
  try {
    return act();
  } catch (error) {
    if (error instanceof SpaceFullError) return -ERRNO.NOMEM;
    if (!(error instanceof EnvironmentError)) throw error;
    const errnos: Partial<Record<string, number>> = {
      'name-taken': ERRNO.EXIST,
      'bad-name': ERRNO.INVAL,
      'memory-limit': ERRNO.DQUOT,
      'no-such-export': ERRNO.NOENT,
    };
    return -(errnos[error.code] ?? ERRNO.NOEXEC);
  }
}

/** UTF-8 of the caller's memory, or -errno. */
function text(caller: Caller, pointer: number, length: number, most: number): string | number {
  if (length >>> 0 > most) return -ERRNO.NAMETOOLONG;
  const bytes = caller.readBytes(pointer, length);
  if (bytes === null) return -ERRNO.FAULT;
  try {
    return decoder.decode(bytes);
  } catch {
    return -ERRNO.INVAL;
  }
}

function statusOf(domain: Domain): Uint8Array {
  const { space, at } = domain;
  const out = new DataView(new ArrayBuffer(DOMAIN_STATUS_BYTES));
  out.setUint32(0, domain.state, true);
  out.setUint32(4, R.end.get(space, at), true);
  out.setInt32(8, R.exitCode.get(space, at), true);
  out.setBigUint64(16, BigInt(domain.memoryBytes), true);
  out.setBigUint64(24, BigInt(R.cpuUsed.get(space, at)), true);
  return new Uint8Array(out.buffer);
}
