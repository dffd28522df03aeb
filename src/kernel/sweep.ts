/**
 * Which modules that a domain has let go nothing can reach any more: no saved frame is of theirs, and no frame, global or
 * table of what is left refers to a function of theirs. None of the domain's code is on the native stack, so all that
 * counts is in the space or in its instance.
 */
import { moduleOf } from '../abi/frame.ts';
import { EXPORT } from '../abi/system.ts';
import { assert } from '../base/assert.ts';
import type { Domain } from './domain.ts';
import { FUNCREF, type RawValue, readFrame, readFrameValues } from './frames.ts';
import type { Instance } from './instance.ts';
import { MADE } from './maker.ts';
import { address } from './saved.ts';

/** Removes released modules that cannot be reached. The call that waits for it is made again. */
export function sweepModules(domain: Domain): void {
  const { maker, instance } = domain;
  assert(
    maker !== null && instance !== null && domain.nativeFrames === 0,
    'a domain that makes code has stopped',
  );
  domain.sweep = 'done';
  const reached = new Set([0]);
  for (const number of maker.numbers()) if (maker.entry(number).state === MADE.live) reached.add(number);
  const reach = (functionNumber: number): void => {
    if (functionNumber >= 0) reached.add(moduleOf(functionNumber));
  };
  fromFrames(domain, reach);
  // A set is gone through in the order of insertion, and what comes in meanwhile is gone through too.
  for (const number of reached) fromPart(domain, instance, number, reach);
  let kept = 0;
  for (const number of [...maker.numbers()]) {
    if (maker.entry(number).state !== MADE.released) continue;
    if (reached.has(number)) kept++;
    else {
      instance.dropPart(number);
      maker.remove(number);
    }
  }
  maker.keptBySweep = kept;
}

type Reach = (functionNumber: number) => void;

function fromFrames(domain: Domain, reach: Reach): void {
  const { space, infos, stackBase } = domain;
  const value = (raw: RawValue | null): void => {
    if (raw?.type === FUNCREF) reach(Number(BigInt.asIntN(32, raw.low)));
  };
  for (let end = domain.stackPointer; end > stackBase; ) {
    const frame = readFrame(space, infos, stackBase, end);
    if (frame === null) return; // it is damaged, and the domain ends when it comes there
    reach(frame.trailer.functionNumber);
    const { locals, operands } = readFrameValues(space, frame);
    locals.forEach(value);
    operands.forEach(value);
    end = frame.start;
  }
}

/** What the globals and tables of a module refer to. */
function fromPart(domain: Domain, instance: Instance, number: number, reach: Reach): void {
  const exports = instance.part(number)?.exports;
  if (exports === undefined) return;
  for (const { kind, index, type } of domain.infos(number)?.stateSlots ?? []) {
    if (kind !== 'global' || type !== FUNCREF) continue;
    reach(instance.refIndex((exports[EXPORT.global + index] as WebAssembly.Global).value));
  }
  for (let i = 0; ; i++) {
    const table = exports[EXPORT.table + i] as WebAssembly.Table | undefined;
    if (table === undefined) return;
    for (let at = 0; at < Number(table.length); at++) {
      reach(instance.refIndex(table.get(address(table, at))));
    }
  }
}
