/** The calls by which a program works with what it has (abi/objects.ts). */
import { ERRNO } from '../../abi/errno.ts';
import { DESCRIPTION_BYTES, OBJECT, RIGHT, RIGHTS_ALL, STURDY_BYTES } from '../../abi/objects.ts';
import { GATE_NAME_MAX, GRANT_NAME_MAX_BYTES } from '../../base/limits.ts';
import type { Caller } from '../caller.ts';
import type { KernelCalls } from '../calls.ts';
import type { Core } from '../core.ts';
import { procedureNamed } from '../gate/procedures.ts';
import type { Found } from './clists.ts';
import { findGrant } from './grants.ts';

const [encoder, decoder] = [new TextEncoder(), new TextDecoder('latin1')];

export function capabilityCalls(core: Core): KernelCalls {
  return { ...listCalls(core), ...sturdyCalls(core), ...kindCalls(core) };
}

function listCalls(core: Core): KernelCalls {
  const { clists, objects } = core;
  return {
    cap_copy: {
      type: 'ii=i',
      call: (_, handle: number, rights: number) => clists.copy(core.caller(), handle, rights),
    },
    cap_derive: {
      type: 'iiI=i',
      call: (_, handle: number, rights: number, badge: bigint) =>
        core.kinds.derive(handle, rights, BigInt.asUintN(64, badge)),
    },
    cap_close: {
      type: 'i=i',
      call: (_, handle: number) => {
        core.waits?.revocable.noteClosed();
        return clists.close(core.caller(), handle);
      },
    },
    cap_revoke: { type: 'i=i', call: (_, handle: number) => core.kinds.revoke(handle) },
    cap_describe: {
      type: 'ii=i',
      call: (caller, handle: number, pointer: number) => {
        const found = clists.look(core.caller(), handle);
        if (typeof found === 'number') return found;
        const out = new DataView(new ArrayBuffer(DESCRIPTION_BYTES));
        const { high, low } = objects.id(found.object);
        out.setUint32(0, found.kind, true);
        out.setUint32(4, found.rights, true);
        out.setBigUint64(8, found.badge, true);
        out.setBigUint64(16, high);
        out.setBigUint64(24, low);
        return caller.writeBytes(pointer, new Uint8Array(out.buffer)) ? 0 : -ERRNO.FAULT;
      },
    },
    cap_count: { type: '=i', call: () => clists.count(core.caller()) },
    granted: {
      type: 'ii=i',
      call: (caller, pointer: number, length: number) => {
        if (length >>> 0 > GRANT_NAME_MAX_BYTES) return -ERRNO.NOENT;
        const name = caller.readBytes(pointer, length);
        return name === null ? -ERRNO.FAULT : findGrant(core.space, core.caller(), name);
      },
    },
  };
}

function sturdyCalls(core: Core): KernelCalls {
  const { clists } = core;
  return {
    cap_sturdy: {
      type: 'iii=i',
      call: (caller, handle: number, rights: number, pointer: number) => {
        const found = clists.look(core.caller(), handle, RIGHT.share);
        if (typeof found === 'number') return found;
        if (caller.range(pointer, STURDY_BYTES, true) < 0) return -ERRNO.FAULT;
        const text = core.sturdies.make(found, found.rights & rights, core.caller().account);
        if (typeof text === 'number') return text;
        caller.writeBytes(pointer, encoder.encode(text));
        return STURDY_BYTES;
      },
    },
    cap_restore: {
      type: 'ii=i',
      call: (caller, pointer: number, length: number) => {
        const text = sturdyText(caller, pointer, length);
        if (typeof text === 'number') return text;
        const found = core.sturdies.find(text);
        if (typeof found === 'number') return found;
        return clists.insert(core.caller(), found.capability, found.turn, found.rights);
      },
    },
    sturdy_forget: {
      type: 'ii=i',
      call: (caller, pointer: number, length: number) => {
        const text = sturdyText(caller, pointer, length);
        return typeof text === 'number' ? text : core.sturdies.forget(text, core.caller().account);
      },
    },
  };
}

function kindCalls(core: Core): KernelCalls {
  const { clists } = core;
  return {
    gate_own: {
      type: 'ii=i',
      call: (caller, pointer: number, length: number) => {
        if (length >>> 0 > GATE_NAME_MAX) return -ERRNO.NOENT;
        const name = caller.readBytes(pointer, length);
        if (name === null) return -ERRNO.FAULT;
        const domain = core.caller();
        const procedure = procedureNamed(domain.module, decoder.decode(name));
        if (procedure === undefined) return -ERRNO.NOENT;
        return clists.make(domain, OBJECT.gate, domain.id, procedure.functionIndex);
      },
    },
    gate_of: {
      type: 'iii=i',
      call: (caller, handle: number, pointer: number, length: number) => {
        if (length >>> 0 > GATE_NAME_MAX) return -ERRNO.NOENT;
        const name = caller.readBytes(pointer, length);
        if (name === null) return -ERRNO.FAULT;
        const found = core.kinds.find(handle, RIGHT.invoke, OBJECT.domain);
        return typeof found === 'number' ? found : gateOf(core, found, decoder.decode(name));
      },
    },
    kind_create: {
      type: 'iii=i',
      call: (_, check: number, derive: number, revoked: number) =>
        core.kinds.create(core.caller(), { check, derive, revoked }),
    },
    kind_wrap: {
      type: 'iiiI=i',
      call: (_, kind: number, target: number, rights: number, badge: bigint) =>
        core.kinds.wrap(core.caller(), kind, target, rights, BigInt.asUintN(64, badge)),
    },
  };
}

/** A gate of a domain, derived of the capability to the domain: a handle, or -errno. @throws SpaceFullError */
function gateOf(core: Core, { object, capability, turn, rights }: Found, name: string): number {
  const { objects, capabilities, clists } = core;
  const owner = core.caller();
  const domain = core.peek(objects.a(object));
  if (domain === undefined || domain.ended) return -ERRNO.GONE;
  const procedure = procedureNamed(domain.module, name);
  if (procedure === undefined) return -ERRNO.NOENT;
  const bad = clists.reserve(owner, 1);
  if (bad !== 0) return bad;
  const gate = objects.create(OBJECT.gate, domain.id, procedure.functionIndex);
  let derived: number = -ERRNO.NOMEM;
  try {
    derived = capabilities.derive(capability, turn, rights, 0n, owner.account, gate);
  } finally {
    if (derived < 0) objects.forget(gate);
  }
  return derived < 0 ? derived : clists.insert(owner, derived, 0, RIGHTS_ALL);
}

/** What may be a sturdy reference, or -errno. */
function sturdyText(caller: Caller, pointer: number, length: number): string | number {
  if (length !== STURDY_BYTES) return -ERRNO.INVAL;
  const bytes = caller.readBytes(pointer, length);
  return bytes === null ? -ERRNO.FAULT : decoder.decode(bytes);
}
