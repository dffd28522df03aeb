/**
 * What confinement and suspension cost: the processor time of programs as our compiler makes them, over the same
 * programs on plain V8 in the same process, turn about; Asyncify beside them. `taxes()` measures the kernels of guests/
 * and flite; `taxes([PROGRAM.wasm, ...ARGS])` any WASI command.
 *
 * A program's ratio is the median, over turns, of a variant's time by the plain time of the same turn. Two tables: steady
 * state, and the first run in a fresh process, which V8 begins with its quick compiler and tiers up on the way.
 */
import { spawn } from 'node:child_process';
import { basename, join } from 'node:path';
import { canBuild, guest, kernelNames } from '../guests/build.ts';
import type { Group } from './groups.ts';
import { aim, type Figure, figure, geomean, median, short, table } from './stats.ts';
import type { ChildResult, ChildTask } from './taxes-child.ts';
import { VARIANTS, type VariantName } from './variants.ts';

const RUNS = 9;
const WARM = 3;
/** What geometric mean and worst of all programs are to be at most. */
const AIMS: Partial<Record<Taxed, { geomean: number; worst?: number }>> = {
  isolation: { geomean: 1.15, worst: 1.35 },
  suspend: { geomean: 1.08 },
  both: { geomean: 1.2 },
};
/** Fresh processes of each variant in which a first run is measured. */
const FIRST_RUNS = 5;
const SPEECH = 'Programs that never stop existing go on from the instruction where they were. '.repeat(20);

type Taxed = Exclude<VariantName, 'plain' | 'windows'>;
const TAXED = VARIANTS.filter((v): v is Taxed => v !== 'plain');

interface ProgramFigures {
  readonly name: string;
  readonly plainMs: number;
  readonly ratios: Partial<Record<Taxed, Figure>>;
  /** As `ratios`, of first runs. */
  readonly firstMs: number;
  readonly firsts: Partial<Record<Taxed, Figure>>;
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
  return { name, plainMs: median(plain), ratios, ...(await firstRuns(task)), sizes, failed: result.failed };
}

/** First runs, each in a process of its own, the variants turn about. */
async function firstRuns(task: ChildTask): Promise<Pick<ProgramFigures, 'firstMs' | 'firsts'>> {
  const plain: number[] = [];
  const firsts: Partial<Record<Taxed, Figure>> = {};
  const ratios = new Map<Taxed, number[]>(TAXED.map((variant) => [variant, []]));
  for (let n = 0; n < FIRST_RUNS; n++) {
    const first = async (variant: VariantName): Promise<number | undefined> =>
      (await child({ ...task, runs: 1, warm: 0, variants: [variant] })).ms[variant]?.[0];
    const base = (await first('plain'))!;
    plain.push(base);
    for (const variant of TAXED) {
      const ms = await first(variant);
      if (ms !== undefined) ratios.get(variant)!.push(ms / base);
    }
  }
  for (const [variant, values] of ratios) if (values.length > 0) firsts[variant] = figure(values);
  return { firstMs: median(plain), firsts };
}

/** The programs measured when none is named; tells which cannot be built here. */
export async function standard(
  print: (line: string) => void,
): Promise<[name: string, path: string, args: string[]][]> {
  const list: [string, string, string[]][] = [];
  for (const name of kernelNames()) {
    const missing = canBuild(`kernels/${name}`);
    if (missing) print(`  ${name} is left out: ${missing}`);
    else list.push([name, await guest(`kernels/${name}`), []]);
  }
  list.push(['flite', await guest('flite'), ['-t', SPEECH, '-o', 'out.wav']]);
  return list;
}

type Ratios = ProgramFigures['ratios'];

function cells(ratios: Ratios): string[] {
  return TAXED.map((variant) => {
    const f = ratios[variant];
    return f ? `${short(f.value)} (${short(f.min)}-${short(f.max)})` : 'failed';
  });
}

function row(p: ProgramFigures): string[] {
  const size = p.sizes.both ? `${short(p.sizes.both)}x` : '';
  return [p.name, short(p.plainMs), ...cells(p.ratios), size];
}

function totals(programs: readonly ProgramFigures[]): Record<string, unknown> {
  const first = ofVariants(programs, (p) => p.firsts);
  return { runs: RUNS, ...ofVariants(programs, (p) => p.ratios), first: { runs: FIRST_RUNS, ...first } };
}

function ofVariants(
  programs: readonly ProgramFigures[],
  of: (p: ProgramFigures) => Ratios,
): Record<string, unknown> {
  const result: Record<string, unknown> = {};
  for (const variant of TAXED) {
    const measured = programs.filter((p) => of(p)[variant]);
    if (measured.length === 0) continue;
    const values = measured.map((p) => of(p)[variant]!.value);
    const worst = Math.max(...values);
    result[variant] = {
      geomean: geomean(values),
      worst,
      worstProgram: measured[values.indexOf(worst)]!.name,
      programs: Object.fromEntries(measured.map((p) => [p.name, of(p)[variant]])),
    };
  }
  return result;
}

/** The rows of geometric mean and worst. */
function summaries(programs: readonly ProgramFigures[], of: (p: ProgramFigures) => Ratios): string[][] {
  if (programs.length < 2) return [];
  const summary = (title: string, pick: (values: readonly number[]) => number): string[] => {
    const picked = TAXED.map((variant) => {
      const values = programs.flatMap((p) => of(p)[variant]?.value ?? []);
      return values.length > 0 ? short(pick(values)) : '-';
    });
    return [title, '', ...picked];
  };
  return [summary('geometric mean', geomean), summary('worst', (values) => Math.max(...values))];
}

/** The group `taxes`. */
export const taxes: Group = async (args, print) => {
  const [path, ...rest] = args;
  const list = path === undefined ? await standard(print) : [[basename(path), path, rest] as const];
  const programs: ProgramFigures[] = [];
  for (const [name, file, programArgs] of list) {
    print(`  ${name}…`);
    const measured = await program(name, file, programArgs);
    for (const [variant, reason] of Object.entries(measured.failed))
      print(`  ${name}, ${variant}: ${reason}`);
    programs.push(measured);
  }
  const rows = [['program', 'plain ms', ...TAXED, 'size, both'], ...programs.map(row)];
  rows.push(...summaries(programs, (p) => p.ratios).map((cells) => [...cells, '']));
  print(table(rows));
  print(`processor time by that of the same program on plain V8, median of ${RUNS} turns (least-most)`);
  const firsts = programs.map((p) => [p.name, short(p.firstMs), ...cells(p.firsts)]);
  print('');
  print(table([['first run', 'plain ms', ...TAXED], ...firsts, ...summaries(programs, (p) => p.firsts)]));
  print(`the first run of a fresh process, with V8's tiers as they come, median of ${FIRST_RUNS}`);
  if (programs.length > 1) aims(programs).forEach(print);
  return totals(programs);
};

function aims(programs: readonly ProgramFigures[]): string[] {
  return TAXED.flatMap((variant) => {
    const values = programs.flatMap((p) => p.ratios[variant]?.value ?? []);
    const { geomean: mean, worst } = AIMS[variant] ?? {};
    return [
      ...(mean === undefined ? [] : [aim(`${variant}, geometric mean`, geomean(values), mean)]),
      ...(worst === undefined ? [] : [aim(`${variant}, worst`, Math.max(...values), worst)]),
    ];
  });
}
