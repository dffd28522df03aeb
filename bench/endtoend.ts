/**
 * A program in the product beside plain V8: SQLite, 300,000 rows and some questions about them. In the product it runs in
 * a space in a folder, with its slices, checkpoints and the files it writes; all of that counts, but not the compiling and
 * verifying of the program, which the space has done before. Each run is in a process of its own, for what V8 and the kernel
 * have to make anew in each is part of it. `ratio` is of the processor time of all threads, the least of the runs.
 */
import { execFile } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { EnvironmentError } from '../src/base/errors.ts';
import { tuneEngine } from '../src/drivers/engine.ts';
import { Space } from '../src/index.ts';
import type { Group } from './groups.ts';
import { short, table } from './stats.ts';
import { makeVariant } from './variants.ts';

const PROGRAM = fileURLToPath(new URL('../guests/built/sqlite3.wasm', import.meta.url));
const RUNS = 3;
const SQL = `create table t(a, b, c);
with recursive c(x) as (select 1 union all select x + 1 from c where x < 300000)
  insert into t select x, x * 7919 % 100003, hex(x) from c;
create index i on t(b);
select count(*), sum(a) from t where b between 5000 and 60000;
select c, count(*) from t group by substr(c, 1, 3) order by 2 desc limit 3;
select sum(length(t1.c || t2.c)) from t t1 join t t2 on t1.a = t2.b where t1.a < 60000;`;
const ARGUMENTS = ['sqlite3', '/x.db', SQL];

/** What one run took, ms of processor time, and what it printed. */
interface Run {
  readonly cpu: number;
  readonly wall: number;
  readonly said: string;
}

/** Runs `body` and measures it. */
async function measured(body: () => Promise<string>): Promise<Run> {
  const from = performance.now();
  const before = process.cpuUsage();
  const said = await body();
  const { user, system } = process.cpuUsage(before);
  return { cpu: (user + system) / 1000, wall: performance.now() - from, said };
}

function plain(program: Uint8Array): Promise<Run> {
  return measured(async () => {
    const { output } = (await makeVariant('plain', program)).run(ARGUMENTS);
    return output.split('[')[0]!; // what follows is about files
  });
}

async function inSpace(program: Uint8Array): Promise<Run> {
  const folder = mkdtempSync(join(tmpdir(), 'perdure-bench-'));
  try {
    await using space = await Space.open(folder);
    await space.install(program);
    return await measured(async () => {
      let said = '';
      const keep = (bytes: Uint8Array): void => {
        said += Buffer.from(bytes).toString();
      };
      const domain = await space.spawn(program, { arguments: ARGUMENTS, stdout: keep, stderr: keep });
      const { exitCode } = await domain.ended();
      return exitCode === 0 ? said : `it ended with ${exitCode}`;
    });
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

const KINDS = { plain, space: inSpace };
type Kind = keyof typeof KINDS;

async function child(kind: Kind): Promise<Run> {
  const { stdout } = await promisify(execFile)(process.execPath, [fileURLToPath(import.meta.url), kind]);
  return JSON.parse(stdout) as Run;
}

export const endToEnd: Group = async (_args, print) => {
  if (!existsSync(PROGRAM))
    throw new EnvironmentError('tools', 'SQLite is not built', 'npm run guests says what is missing');
  const least: Record<Kind, Run | undefined> = { plain: undefined, space: undefined };
  for (let run = 0; run < RUNS; run++) {
    for (const kind of ['plain', 'space'] as const) {
      const now = await child(kind);
      const said = least.plain?.said ?? now.said;
      if (now.said !== said)
        throw new Error(`printed ${now.said.slice(0, 200)} instead of ${said.slice(0, 200)}`);
      if (now.cpu <= (least[kind]?.cpu ?? Infinity)) least[kind] = now;
    }
  }
  const [a, b] = [least.plain!, least.space!];
  const rows = [
    ['end to end', 'processor ms', 'ms'],
    ['plain V8', short(a.cpu), short(a.wall)],
    ['in a space', short(b.cpu), short(b.wall)],
  ];
  print(table(rows));
  print(`${short(b.cpu / a.cpu)} times the processor time; least of ${RUNS} runs, each in a new process`);
  return { plain: { cpu: a.cpu, ms: a.wall }, space: { cpu: b.cpu, ms: b.wall }, ratio: b.cpu / a.cpu };
};

if (import.meta.main) {
  tuneEngine();
  const run = await KINDS[process.argv[2] as Kind](new Uint8Array(readFileSync(PROGRAM)));
  process.stdout.write(JSON.stringify(run));
}
