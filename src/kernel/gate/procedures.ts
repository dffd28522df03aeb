/**
 * The procedures of a program, by the names of its exports (abi/gate.ts).
 */
import { GATE_EXPORT, type Procedure, parseProcedure } from '../../abi/gate.ts';
import { GUEST_EXPORT } from '../../abi/system.ts';
import { EnvironmentError, MalformedError } from '../../base/errors.ts';
import type { LoadedModule } from '../program.ts';

export interface Offered extends Procedure {
  readonly functionIndex: number;
}

interface Known {
  readonly byName: ReadonlyMap<string, Offered>;
  readonly byIndex: ReadonlyMap<number, Offered>;
  /** Whether any lets several activations in. */
  readonly crowded: boolean;
  /** Why the program offers nothing at all: one of its exports says something that cannot be. */
  readonly error: string | null;
}

const known = new WeakMap<LoadedModule, Known>();

function find(module: LoadedModule): Known {
  const [byName, byIndex] = [new Map<string, Offered>(), new Map<number, Offered>()];
  let error: string | null = null;
  // What runs in a process of its own cannot be called; nothing of it is compiled here.
  const exports = module.alone === undefined ? WebAssembly.Module.exports(module.program) : [];
  for (const { name, kind } of exports) {
    if (kind !== 'function' || !name.startsWith(GUEST_EXPORT + GATE_EXPORT)) continue;
    const exported = name.slice(GUEST_EXPORT.length);
    const functionIndex = module.info.exportedFunction(exported);
    try {
      const procedure = parseProcedure(exported, module.info.functionShape(functionIndex));
      if (procedure === null) continue;
      if (byName.has(procedure.name)) error ??= `two procedures are named "${procedure.name}"`;
      const offered = { ...procedure, functionIndex };
      byName.set(procedure.name, offered);
      byIndex.set(functionIndex, offered);
    } catch (thrown) {
      if (!(thrown instanceof MalformedError)) throw thrown;
      error ??= thrown.message;
    }
  }
  const crowded = [...byName.values()].some(({ entry }) => entry === 2);
  return { byName, byIndex, crowded, error };
}

function of(module: LoadedModule): Known {
  let found = known.get(module);
  if (found === undefined) {
    found = find(module);
    known.set(module, found);
  }
  return found;
}

/** A procedure by its name. */
export const procedureNamed = (module: LoadedModule, name: string): Offered | undefined =>
  of(module).byName.get(name);
/** A procedure by its function. */
export const procedureAt = (module: LoadedModule, functionIndex: number): Offered | undefined =>
  of(module).byIndex.get(functionIndex);
export const procedureNames = (module: LoadedModule): string[] => [...of(module).byName.keys()];
export const hasProcedures = (module: LoadedModule): boolean => of(module).byName.size > 0;
/** Whether several activations may be inside of a domain of it at once. */
export const isCrowded = (module: LoadedModule): boolean => of(module).crowded;

/** @throws EnvironmentError where a program's exports say of a procedure what cannot be */
export function checkProcedures(module: LoadedModule): void {
  const { error } = of(module);
  if (error !== null) throw new EnvironmentError('bad-gate', error, 'abi/gate.ts says how they are named');
}
