/**
 * What confinement and suspension cost: the processor time of programs as our compiler makes them, over the same
 * programs on plain V8 in the same process, turn about; Asyncify beside them. `taxes()` measures the kernels of guests/
 * and flite; `taxes([PROGRAM.wasm, ...ARGS])` any WASI command.
 *
 * A program's ratio is the median, over turns, of a variant's time by the plain time of the same turn.
 */
import { spawn } from 'node:child_process';
import { basename, join } from 'node:path';
import { canBuild, guest, kernelNames } from '../guests/build.ts';
import type { Group } from './groups.ts';
import { type Figure, figure, geomean, median, short, table } from './stats.ts';
import type { ChildResult, ChildTask } from './taxes-child.ts';
import { VARIANTS, type VariantName } from './variants.ts';

const RUNS = 9;
const WARM = 3;
const SPEECH = 'Programs that never stop existing go on from the instruction where they were. '.repeat(20);

type Taxed = Exclude<VariantName, 'plain'>;
const TAXED = VARIANTS.filter((v): v is Taxed => v !== 'plain');

interface ProgramFigures {
  readonly name: string;
  readonly plainMs: number;
  readonly ratios: Partial<Record<Taxed, Figure>>;
  /** Size of the module by the program's. */
  readonly sizes: Partial<Record<Taxed, number>>;
  readonly failed: ChildResult['failed'];
}

/** Runs the child and gives what it measured. */
async function child(task: ChildTask): Promise<ChildResult> {
  const path = join(import.meta.dirname, 'taxes-child.ts');
  const run = spawn(process.execPath, [path, JSON.stringify(task)], { stdio: ['ignore', 'pipe', 'inherit'] });
  let text = '';
  for await (const chunk of run.stdout) text += chunk;
  if (text === '') throw new Error(`measuring ${task.program} failed`);
  return JSON.parse(text) as ChildResult;
}

async function program(name: string, path: string, args: readonly string[]): Promise<ProgramFigures> {
  const task = { program: path, args: [basename(path), ...args], runs: RUNS, warm: WARM, variants: VARIANTS };
  const result = await child(task);
  const plain = result.ms.plain;
  if (!plain) throw new Error(`${name} does not run on plain V8: ${result.failed.plain}`);
  const ratios: Partial<Record<Taxed, Figure>> = {};
  const sizes: Partial<Record<Taxed, number>> = {};
  for (const variant of TAXED) {
    const ms = result.ms[variant];
    if (ms) ratios[variant] = figure(ms.map((t, i) => t / plain[i]!));
    const bytes = result.bytes[variant];
    if (bytes) sizes[variant] = bytes / result.bytes.plain!;
  }
  return { name, plainMs: median(plain), ratios, sizes, failed: result.failed };
}

/** The programs measured when none is named. */
export async function standard(): Promise<[name: string, path: string, args: string[]][]> {
  const list: [string, string, string[]][] = [];
  for (const name of kernelNames()) {
    const missing = canBuild(`kernels/${name}`);
    if (missing) throw new Error(`the bench kernels are in C: ${missing}`);
    list.push([name, await guest(`kernels/${name}`), []]);
  }
  list.push(['flite', await guest('flite'), ['-t', SPEECH, '-o', 'out.wav']]);
  return list;
}

function row(p: ProgramFigures): string[] {
  const cells = TAXED.map((variant) => {
    const f = p.ratios[variant];
    return f ? `${short(f.value)} (${short(f.min)}-${short(f.max)})` : 'failed';
  });
  const size = p.sizes.both ? `${short(p.sizes.both)}x` : '';
  return [p.name, short(p.plainMs), ...cells, size];
}

function totals(programs: readonly ProgramFigures[]): Record<string, unknown> {
  const result: Record<string, unknown> = { runs: RUNS };
  for (const variant of TAXED) {
    const measured = programs.filter((p) => p.ratios[variant]);
    if (measured.length === 0) continue;
    const values = measured.map((p) => p.ratios[variant]!.value);
    const worst = Math.max(...values);
    result[variant] = {
      geomean: geomean(values),
      worst,
      worstProgram: measured[values.indexOf(worst)]!.name,
      programs: Object.fromEntries(measured.map((p) => [p.name, p.ratios[variant]])),
    };
  }
  return result;
}

function summary(
  title: string,
  pick: (values: readonly number[]) => number,
  programs: readonly ProgramFigures[],
): string[] {
  const cells = TAXED.map((variant) => {
    const values = programs.flatMap((p) => p.ratios[variant]?.value ?? []);
    return values.length > 0 ? short(pick(values)) : '-';
  });
  return [title, '', ...cells, ''];
}

/** The group `taxes`. */
export const taxes: Group = async (args, print) => {
  const [path, ...rest] = args;
  const list = path === undefined ? await standard() : [[basename(path), path, rest] as const];
  const programs: ProgramFigures[] = [];
  for (const [name, file, programArgs] of list) {
    print(`  ${name}…`);
    const measured = await program(name, file, programArgs);
    for (const [variant, reason] of Object.entries(measured.failed))
      print(`  ${name}, ${variant}: ${reason}`);
    programs.push(measured);
  }
  const rows = [['program', 'plain ms', ...TAXED, 'size, both'], ...programs.map(row)];
  if (programs.length > 1) {
    rows.push(summary('geometric mean', geomean, programs));
    rows.push(summary('worst', (values) => Math.max(...values), programs));
  }
  print(table(rows));
  print(`processor time by that of the same program on plain V8, median of ${RUNS} turns (least-most)`);
  return totals(programs);
};
