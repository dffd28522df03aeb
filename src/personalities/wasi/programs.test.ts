import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { before, describe, it } from 'node:test';
import { canBuild, guest } from '../../../guests/build.ts';
import { missingClang } from '../../../guests/toolchain.ts';
import { RIGHTS_ALL } from '../../abi/objects.ts';
import { seedFrom } from '../../base/prng.ts';
import { Machine, type MachineOptions } from './machine.testing.ts';

const missing = missingClang();
const seed = seedFrom(process.env.PERDURE_SEED, Date.now());

/** Runs a guest to its end: what it wrote and how it ended. */
function run(bytes: Uint8Array, args: string[], options: MachineOptions = {}, input?: string) {
  const machine = new Machine({ seed, ...options });
  if (input !== undefined) {
    machine.ports.stdin.say(input);
    machine.ports.stdin.ended = true;
  }
  const id = machine.start('guest', bytes, args);
  machine.run();
  const { state, end, exitCode, reason } = machine.status(id);
  const output = machine.ports.stdout.text() + machine.ports.stderr.text();
  return { output, ending: `${state} ${end} ${exitCode} ${reason}`.trim(), machine };
}

describe('programs in C', { skip: missing ?? false }, () => {
  const programs = new Map<string, Uint8Array>();
  before(async () => {
    for (const name of ['args', 'cat', 'clock', 'files', 'lines', 'shared', 'wasi']) {
      programs.set(name, readFileSync(await guest(name)));
    }
  });
  const program = (name: string): Uint8Array => programs.get(name) as Uint8Array;

  it('find every function of preview 1 doing what it should', () => {
    const { output, ending } = run(program('wasi'), ['.']);
    assert.deepEqual(
      output.split('\n').filter((line) => line.startsWith('FAIL')),
      [],
    );
    assert.ok(output.split('\n').filter((line) => line.startsWith('ok')).length > 100);
    assert.equal(ending, 'exited exit 0');
  });

  it('find the same when killed again and again on the way', () => {
    console.log(`seed ${seed}`);
    const { output, ending, machine } = run(program('wasi'), ['.'], { yieldChance: 0.3, crashChance: 0.3 });
    assert.deepEqual(
      output.split('\n').filter((line) => line.startsWith('FAIL')),
      [],
    );
    assert.equal(ending, 'exited exit 0');
    assert.ok(machine.crashes > 3, `${machine.crashes} crashes`);
  });

  it('write, change and list files as if nothing happened, while they are killed', () => {
    const args = ['/', '9', '20'];
    const plain = run(program('files'), args);
    assert.equal(plain.ending, 'exited exit 0');
    assert.ok(plain.output.includes('round 8'));
    const killed = run(program('files'), args, { yieldChance: 0.1, crashChance: 0.5 });
    assert.equal(killed.output, plain.output);
    assert.ok(killed.machine.crashes > 3, `${killed.machine.crashes} crashes`);
  });

  it('read standard input line by line over crashes', () => {
    const input = Array.from({ length: 50 }, (_, i) => `line ${i} ${'x'.repeat(i * 7)}\n`).join('');
    const plain = run(program('cat'), [], {}, input);
    const killed = run(program('cat'), [], { yieldChance: 0.2, crashChance: 0.5 }, input);
    assert.equal(killed.output, plain.output);
    assert.ok(plain.output.includes('total: 50 lines'));
    assert.equal(run(program('cat'), ['--echo'], {}, input).output, input);
  });

  it('share a tree by ordinary pointers, which stay what they are over crashes and moves', () => {
    const rounds = 60;
    const machine = new Machine({ seed, yieldChance: 0.1, crashChance: 0.3 });
    const { objects, capabilities, segments } = machine.kernel.core;
    const object = segments.createFree(1 << 20);
    const capability = capabilities.root(object, RIGHTS_ALL);
    const start = (name: string, args: string[]): number => {
      const id = machine.start(name, program('shared'), args);
      machine.kernel.authority.grant(id, { name: 'shared', capability, turn: 0 });
      return id;
    };
    capabilities.retain(capability);
    const ids = [start('reader', ['read', `${rounds}`]), start('writer', ['write', `${rounds}`])];
    for (const id of [...ids, start('third', ['beyond'])]) machine.kernel.relocate(id);
    machine.run();
    const words = Array.from(
      { length: rounds },
      (_, i) => `w${(Math.imul(i, 2654435761) >>> 0).toString(16).padStart(8, '0')}`,
    );
    assert.equal(machine.ports.stderr.text(), '');
    const lines = machine.ports.stdout.text().trim().split('\n');
    assert.deepEqual(
      lines.filter((line) => line.startsWith('w')),
      words.sort(),
    );
    assert.ok(lines.includes(`${rounds} words`), lines.join());
    assert.deepEqual(
      ids.map((id) => machine.status(id).exitCode),
      [0, 0],
    );
    assert.equal(machine.status(machine.kernel.find('third')).reason, 'out of bounds memory access');
    assert.ok(machine.crashes > 3, `${machine.crashes} crashes`);
    assert.ok(!objects.isGone(object));
  });

  it('see time go forward and sleep long enough over crashes', () => {
    const killed = run(program('clock'), [], { yieldChance: 0.001, crashChance: 0.5 });
    assert.ok(!killed.output.includes('too short'));
    assert.ok(killed.output.includes('went back 0 times') && killed.output.endsWith('done\n'), killed.output);
  });

  it('get their arguments, and their exit code out', () => {
    const { output, ending } = run(program('args'), ['one', '--exit=7']);
    assert.ok(output.startsWith('arg 0: guest\narg 1: one\n'));
    assert.equal(ending, 'exited exit 7');
  });
});

const noSqlite = canBuild('sqlite3');

describe('the shell of SQLite', { skip: noSqlite ?? false }, () => {
  const sql = `
    create table t(id integer primary key, name text, v real);
    create index i on t(name);
    begin;
    with recursive c(x) as (select 1 union all select x + 1 from c where x < 4000)
      insert into t select x, 'name' || (x * 7919 % 4000), x * 1.5 from c;
    commit;
    update t set v = v + 1 where id % 3 = 0;
    begin; delete from t where id % 2 = 0; rollback;
    delete from t where id % 5 = 0;
    select count(*), sum(v), max(name) from t;
    vacuum;
    create table u as select * from t order by name desc;
    select count(*) from u where name like 'name1%';
    pragma integrity_check;
    select group_concat(name) from (select name from sqlite_schema order by 1);
  `;

  it('keeps a database in the tree whole while it is killed', async () => {
    console.log(`seed ${seed}`);
    const bytes = readFileSync(await guest('sqlite3'));
    const plain = run(bytes, ['/test.db'], {}, sql);
    assert.equal(plain.ending, 'exited exit 0');
    assert.ok(plain.output.includes('\nok\n'), plain.output);
    const killed = run(bytes, ['/test.db'], { yieldChance: 0.03, crashChance: 0.5 }, sql);
    assert.equal(killed.output, plain.output);
    assert.ok(killed.machine.crashes > 1, `${killed.machine.crashes} crashes`);
  });
});
