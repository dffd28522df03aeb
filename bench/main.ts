/**
 * `npm run bench [-- GROUP [PROGRAM.wasm ARGS...]] [--json FILE]`: measures one group or all, prints a table each, and
 * with --json writes the figures as one object: `taxes.both.geomean` is in it as `{taxes: {both: {geomean: …}}}`.
 *
 * Ratios are taken within one run, against the same program on plain V8. Nothing here passes or fails by a time.
 */
import { writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { EnvironmentError } from '../src/base/errors.ts';
import { channel } from './channel.ts';
import { checkpoint } from './checkpoint.ts';
import { codec } from './codec.ts';
import { compileRates } from './compile.ts';
import { endToEnd } from './endtoend.ts';
import { gate } from './gate.ts';
import type { Group } from './groups.ts';
import { idle } from './idle.ts';
import { jit } from './jit.ts';
import { processes } from './process.ts';
import { proofs } from './proofs.ts';
import { recovery } from './recovery.ts';
import { resume } from './resume.ts';
import { rings } from './rings.ts';
import { spawn } from './spawn.ts';
import { short, table } from './stats.ts';
import { store } from './store.ts';
import { taxes } from './taxes.ts';
import { waits } from './waits.ts';
import { windows } from './windows.ts';

const codecGroup: Group = async (args, print) => {
  const rows = await codec(args.length > 0 ? args : undefined);
  const cells = rows.map((r) => [r.name, short(r.value), `${short(r.min)}-${short(r.max)}`, String(r.runs)]);
  print(table([['codec', 'MB/s', 'least-most', 'runs'], ...cells]));
  return Object.fromEntries(
    rows.map(({ name, ...figures }) => [
      name.replace(/\W+(\w+)\.wasm$/, '_$1').replaceAll(' ', '_'),
      figures,
    ]),
  );
};

const GROUPS: Readonly<Record<string, Group>> = {
  codec: codecGroup,
  compile: compileRates,
  spawn,
  idle,
  process: processes,
  checkpoint,
  recovery,
  resume,
  jit,
  waits,
  channel,
  gate,
  windows,
  rings,
  store,
  endtoend: endToEnd,
  taxes,
  proofs,
};

function usage(problem: string): never {
  process.stderr.write(`${problem}; groups are ${Object.keys(GROUPS).join(', ')}\n`);
  process.exit(2);
}

async function main(argv: readonly string[]): Promise<void> {
  const args = [...argv];
  const at = args.indexOf('--json');
  const json = at >= 0 ? args.splice(at, 2)[1] : undefined;
  if (at >= 0 && json === undefined) usage('--json wants a file');
  const [name, ...rest] = args;
  if (name !== undefined && !(name in GROUPS)) usage(`there is no group ${name}`);
  const figures: Record<string, unknown> = {
    host: {
      node: process.version,
      v8: process.versions.v8,
      cpu: cpus()[0]?.model ?? '',
      cores: cpus().length,
    },
  };
  for (const [key, group] of Object.entries(GROUPS)) {
    if (name !== undefined && name !== key) continue;
    console.log(`\n${key}`);
    figures[key] = await group(name === undefined ? [] : rest, (text) => console.log(text));
  }
  if (json !== undefined) writeFileSync(json, `${JSON.stringify(figures, undefined, 2)}\n`);
}

try {
  await main(process.argv.slice(2));
} catch (error) {
  if (!(error instanceof EnvironmentError)) throw error;
  process.stderr.write(`${error.message}${error.hint ? ` (${error.hint})` : ''}\n`);
  process.exitCode = 1;
}
