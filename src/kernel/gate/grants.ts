/**
 * Where imports of procedures lead: import `M.NAME` is procedure NAME of the domain that was granted under the name `M`, or
 * the gate that was granted under `M.NAME`. A gate is one procedure of a domain as an object.
 */
import { ERRNO } from '../../abi/errno.ts';
import { OBJECT, RIGHT, RIGHTS_ALL } from '../../abi/objects.ts';
import { EnvironmentError } from '../../base/errors.ts';
import { findGrant } from '../capability/grants.ts';
import type { Core } from '../core.ts';
import type { Domain } from '../domain.ts';
import { procedureAt, procedureNamed } from './procedures.ts';

/** What a name that was granted leads to. */
export interface Leads {
  readonly domain: number;
  readonly procedure: string;
  readonly asks?: number; // the capability, where kinds are asked before each call (capability/kinds.ts)
}
/** Where an import leads, by what the domain was granted: null where that says nothing of it, or an errno. */
export type Granted = (caller: Domain, module: string, name: string) => Leads | number | null;

const encoder = new TextEncoder();

export function grantedTo(core: Core): Granted {
  return (caller, module, name) => {
    const whole = lead(core, caller, module, OBJECT.domain);
    if (whole !== null)
      return typeof whole === 'number' ? whole : { domain: whole.a, procedure: name, asks: whole.asks };
    const one = lead(core, caller, `${module}.${name}`, OBJECT.gate);
    return one === null || typeof one === 'number' ? one : gateLeads(core, one);
  };
}

/** The two numbers of an object, and the capability to it where kinds are asked before a call; 0 else. */
interface Lead {
  readonly a: number;
  readonly b: number;
  readonly asks: number;
}

/** The object that was granted under a name; an errno, or null where nothing was. */
function lead(
  core: Core,
  caller: Domain,
  name: string,
  kind: typeof OBJECT.domain | typeof OBJECT.gate,
): Lead | number | null {
  const handle = findGrant(core.space, caller, encoder.encode(name));
  if (handle < 0) return null;
  const found = core.clists.look(caller, handle, RIGHT.invoke, kind);
  if (typeof found === 'number') return -found;
  const asks = core.capabilities.kind(found.capability) === 0 ? 0 : found.capability;
  return { a: core.objects.a(found.object), b: core.objects.b(found.object), asks };
}

function gateLeads(core: Core, { a: domain, b: functionIndex, asks }: Lead): Leads | number {
  const callee = core.peek(domain);
  if (callee === undefined || callee.ended) return ERRNO.GONE;
  const procedure = procedureAt(callee.module, functionIndex);
  return procedure === undefined ? ERRNO.NOSYS : { domain, procedure: procedure.name, asks };
}

/**
 * Grants one procedure of a domain to another under a name. Returns the handle.
 * @throws EnvironmentError where there is no such procedure, or as `Authority.grant` does
 */
export function grantGate(core: Core, to: Domain, name: string, of: Domain, procedure: string): number {
  const offered = of.ended ? undefined : procedureNamed(of.module, procedure);
  if (offered === undefined) {
    throw new EnvironmentError('no-such-export', `${of.name}: it has no procedure "${procedure}"`);
  }
  const { objects, capabilities, authority } = core;
  const object = objects.create(OBJECT.gate, of.id, offered.functionIndex);
  const capability = capabilities.root(object, RIGHTS_ALL);
  capabilities.retain(capability);
  try {
    const rights = RIGHT.invoke | RIGHT.share | RIGHT.derive;
    return authority.grant(to.id, { name, capability, turn: capabilities.turn(capability), rights });
  } finally {
    capabilities.release(capability);
  }
}
