/**
 * Measures one program in its variants, in a process of its own; taxes.ts starts it and reads one line of JSON.
 *
 *   node bench/taxes-child.ts '{"program":"x.wasm","args":["x","10"],"runs":9,"warm":3,"variants":["plain","both"]}'
 *
 * V8 is set as Perdure sets it, for all variants alike: plain V8 gains by it too.
 *
 * Variants take turns, so that whatever else the machine does falls on all of them alike; the first turns are not
 * counted: they pay for V8's compilers. What variants print must be the same.
 */
import { readFileSync } from 'node:fs';
import { tuneEngine } from '../src/drivers/engine.ts';
import { makeVariant, type Variant, type VariantName } from './variants.ts';

export interface ChildTask {
  readonly program: string;
  readonly args: readonly string[];
  readonly runs: number;
  readonly warm: number;
  readonly variants: readonly VariantName[];
}
export interface ChildResult {
  /** Milliseconds of each counted turn, by variant. */
  readonly ms: Partial<Record<VariantName, number[]>>;
  /** Size of each module, in bytes. */
  readonly bytes: Partial<Record<VariantName, number>>;
  /** Why a variant could not be measured. */
  readonly failed: Partial<Record<VariantName, string>>;
}

async function measure(task: ChildTask): Promise<ChildResult> {
  tuneEngine();
  const program = readFileSync(task.program);
  const result = { ms: {}, bytes: {}, failed: {} } as {
    ms: Partial<Record<VariantName, number[]>>;
    bytes: Partial<Record<VariantName, number>>;
    failed: Partial<Record<VariantName, string>>;
  };
  const variants: Variant[] = [];
  for (const name of task.variants) {
    try {
      const variant = await makeVariant(name, program);
      result.bytes[name] = variant.bytes;
      variants.push(variant);
    } catch (error) {
      result.failed[name] = String(error);
    }
  }
  let expected: string | undefined;
  for (let turn = 0; turn < task.warm + task.runs; turn++) {
    for (const variant of variants) {
      if (result.failed[variant.name]) continue;
      try {
        const { ms, code, output } = variant.run(task.args);
        const said = `${code} ${output}`;
        expected ??= said;
        if (said !== expected)
          throw new Error(`printed ${said.slice(0, 80)} instead of ${expected.slice(0, 80)}`);
        if (turn < task.warm) continue;
        result.ms[variant.name] ??= [];
        result.ms[variant.name]!.push(ms);
      } catch (error) {
        result.failed[variant.name] = String(error);
        delete result.ms[variant.name];
      }
    }
  }
  return result;
}

if (import.meta.main) {
  const task = JSON.parse(process.argv[2] ?? '{}') as ChildTask;
  process.stdout.write(`${JSON.stringify(await measure(task))}\n`);
}
