/**
 * How a program uses its control area: the control page, the state zone with results, globals and flags, its own and those
 * of modules it makes at run time, and behind them room for the first saved frames.
 */
import { RESULTS_OFFSET, STATE_OFFSET, VALUE_BYTES } from '../abi/layout.ts';
import { assert } from '../base/assert.ts';
import { MADE_RESULTS_MAX, PAGE_BYTES } from '../base/limits.ts';
import type { LoadedModule } from './program.ts';

interface Zone {
  mostResults: number;
  usedBytes: number;
  stateBytes: number;
}
const zones = new WeakMap<LoadedModule, Zone>();

function zoneOf(module: LoadedModule): Zone {
  let zone = zones.get(module);
  if (zone === undefined) {
    const { info, evidence } = module;
    const { madeZone } = info;
    let most = madeZone === null ? 0 : MADE_RESULTS_MAX;
    for (let i = 0; i < info.functionCount; i++) most = Math.max(most, info.functionShape(i).results.length);
    let used = Math.max(RESULTS_OFFSET + VALUE_BYTES * most, madeZone?.end ?? 0);
    for (const { offset } of info.stateSlots) used = Math.max(used, offset + VALUE_BYTES);
    const stateBytes = used - STATE_OFFSET;
    used = Math.ceil(used / PAGE_BYTES) * PAGE_BYTES;
    assert(used <= evidence.controlBytes, 'the control area holds the state zone');
    zone = { mostResults: most, usedBytes: used, stateBytes };
    zones.set(module, zone);
  }
  return zone;
}

/** Most results any function of the program has. */
export const mostResults = (module: LoadedModule): number => zoneOf(module).mostResults;

/** Bytes of the state zone, from STATE_OFFSET on. */
export const stateBytes = (module: LoadedModule): number => zoneOf(module).stateBytes;

/** Bytes of control area with a use of their own, whole pages. */
export const usedControlBytes = (module: LoadedModule): number => zoneOf(module).usedBytes;

/** Where, from hdr, saved frames begin that lie in the control area. */
export const innerStackOffset = usedControlBytes;
