/**
 * Calls of procedures by the host: an activation that begins in the domain called.
 */
import { EnvironmentError } from '../../base/errors.ts';
import type { Core } from '../core.ts';
import { type Domain, FLAG } from '../domain.ts';
import { entryFrame, type RawValue } from '../frames.ts';
import { type Argument, toRaw } from '../values.ts';
import { type Activation, CAUSE } from './activations.ts';
import { procedureNamed } from './procedures.ts';
import { makeVisit } from './visit.ts';

/**
 * An activation that calls a procedure when it runs. The host has no list of its own: an argument that is a capability is a
 * handle of the domain called, where the host has put it.
 * @throws EnvironmentError where there is none of this name, the domain cannot be called now, or the arguments do not fit
 */
export function beginCall(core: Core, domain: Domain, name: string, args: readonly Argument[]): Activation {
  const { module } = domain;
  const refuse = (code: 'no-such-export' | 'bad-argument' | 'ended', what: string): never => {
    throw new EnvironmentError(code, `${domain.name}: ${what}`);
  };
  if (domain.ended || domain.ending !== null) refuse('ended', 'it has ended: it cannot be called');
  if (domain.hasFlag(FLAG.enforced)) {
    refuse('no-such-export', 'what runs in a process of its own cannot be called');
  }
  const procedure = procedureNamed(module, name);
  if (procedure === undefined) return refuse('no-such-export', `it has no procedure "${name}"`);
  const { params } = procedure.shape;
  const raws = params.map((type, i) => toRaw(type, args[i] ?? 0));
  if (args.length !== params.length || raws.some((raw) => raw === null)) {
    refuse('bad-argument', `the arguments do not fit the procedure "${name}"`);
  }
  const { functionIndex } = procedure;
  const { startFunction } = module.info;
  const begins = !domain.hasFlag(FLAG.started) && startFunction >= 0;
  const frames = [entryFrame(module.info, functionIndex, raws as RawValue[])];
  if (begins) frames.push(entryFrame(module.info, startFunction, []));
  const activation = core.activations.create(CAUSE.call, functionIndex);
  try {
    const visit = makeVisit(domain, functionIndex);
    activation.push(visit);
    visit.keep(frames as Uint8Array[]);
  } catch (error) {
    core.activations.remove(activation);
    throw error;
  }
  if (begins) domain.setFlag(FLAG.started, true);
  return activation;
}
