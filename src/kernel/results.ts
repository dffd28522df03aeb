/**
 * Results of a function that the kernel has called: where its code leaves them when nobody is outside of it.
 */
import { RESULTS_OFFSET, VALUE_BYTES } from '../abi/layout.ts';
import { EXPORT } from '../abi/system.ts';
import { EnvironmentError } from '../base/errors.ts';
import type { Domain } from './domain.ts';
import { type RawValue, V128 } from './frames.ts';
import { isReference, toReference } from './references.ts';

/**
 * Results of the function that returned last, by its result types.
 * @throws EnvironmentError where one is a reference that stayed in the program's hands: its function was suspended
 */
export function readResults(domain: Domain, functionIndex: number): RawValue[] {
  const { view } = domain.space;
  return domain.module.info.functionShape(functionIndex).results.map((type, i) => {
    if (isReference(type) && domain.carriesReferences) return referenceResult(domain, type, i);
    const at = domain.region + RESULTS_OFFSET + VALUE_BYTES * i;
    // What lies behind a narrower value is left over from another.
    const high = type === V128 ? view.getBigUint64(at + 8, true) : 0n;
    return { type, low: view.getBigUint64(at, true), high };
  });
}

/** A reference among the results: the instance keeps it in a global, as it keeps it between two frames. */
function referenceResult(domain: Domain, type: number, i: number): RawValue {
  const global = domain.instance?.exports[`${EXPORT.result}${type}:${i}`] as WebAssembly.Global | undefined;
  const kept = global === undefined ? null : toReference(domain, type, global.value);
  if (kept !== null) return kept;
  throw new EnvironmentError(
    'reference-result',
    `${domain.name}: its result is a reference that cannot be told`,
  );
}
