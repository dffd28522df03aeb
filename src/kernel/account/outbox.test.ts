import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ACCOUNT_PARTS, RESOURCE } from '../../abi/account.ts';
import { DOMAIN_FLAG } from '../../abi/domains.ts';
import { ERRNO } from '../../abi/errno.ts';
import { OPERATION, REQUEST_BYTES, SUBMIT } from '../../abi/ring.ts';
import { FakePorts } from '../../personalities/wasi/ports.testing.ts';
import type { Space } from '../../space/index.ts';
import type { Caller } from '../caller.ts';
import type { Domain } from '../domain.ts';
import { program, TestSystem } from '../kernel.testing.ts';
import { OUTBOX_RECORD_BYTES, Outbox, STDOUT } from '../outbox.ts';
import { Block } from '../outbox-memory.ts';
import { stateMemory } from '../outbox-space.ts';
import {
  type Operation,
  type ServedAnswer,
  type ServedPort,
  type ServedRequest,
  WOULD_BLOCK,
} from '../ports.ts';
import { RingUser } from '../ring/ring.testing.ts';
import { limitOf, openAccount, usedOf } from './account.ts';
import { OutboxMeter } from './meter.ts';

const OUT = RESOURCE.outbox;
/** What each run takes beside its bytes; room for one more is kept. */
const RUN = 16;

/** A system whose programs can `say` bytes, which wait in one outbox until `hear` takes them. */
class SayingSystem extends TestSystem {
  #outbox!: Outbox;
  #meter!: OutboxMeter;
  #address = 0;

  override add(name: string, module: Parameters<TestSystem['add']>[1], more: object = {}): number {
    if (this.#address === 0) this.#open(this.space);
    return super.add(name, module, more);
  }
  #open(space: Space): void {
    const fresh = this.#address === 0;
    if (fresh) this.#address = (Block.create(stateMemory(space), OUTBOX_RECORD_BYTES) as Block).address;
    this.#meter = new OutboxMeter(space, (domain) => this.kernel.wake(domain));
    this.#meter.accountOf = (id) => this.kernel.core.peek(id)?.account ?? 0;
    this.kernel.core.meter = this.#meter;
    const block = new Block(stateMemory(space), this.#address);
    this.#outbox = new Outbox(block, 0, 1 << 30, !fresh, this.#meter);
    this.personality.calls.say = (caller: Caller, length: number): number => {
      const payer = this.#meter.payer(caller.domainId);
      const room = Math.min(this.#outbox.roomOf(payer), length);
      if (room > 0) return this.#outbox.append(STDOUT, new Uint8Array(room).fill(caller.domainId), payer);
      if (this.#meter.isIdle(payer)) return -ERRNO.DQUOT;
      this.#meter.subscribe(payer, caller.domainId);
      return caller.block();
    };
  }
  override crash(): void {
    super.crash();
    this.#open(this.space);
  }
  get waiting(): number {
    return this.#outbox.length;
  }
  /** So many bytes are out. */
  hear(bytes: number): void {
    this.#outbox.drop(this.#outbox.head + bytes);
  }
  outOf(account: number): number {
    return usedOf(this.space, account, OUT);
  }
}

const CALLS = `
  (import "env" "log" (func $log (param i32)))
  (import "env" "say" (func $say (param i32) (result i32)))
  (import "env" "pause" (func $pause))
  (import "env" "wait" (func $wait (param i32) (result i32)))
  (import "perdure_kernel" "account_own" (func $account (result i32)))
  (import "perdure_kernel" "account_divide" (func $divide (param i32 i32) (result i32)))
  (import "perdure_kernel" "cap_close" (func $close (param i32) (result i32)))
  (import "perdure_kernel" "program_own" (func $own (result i32)))
  (import "perdure_kernel" "domain_create" (func $create (param i32 i32 i32 i32 i32) (result i32)))
  (import "perdure_kernel" "domain_start" (func $start (param i32 i32 i32) (result i32)))
  (import "perdure_kernel" "domain_destroy" (func $destroy (param i32) (result i32)))
  (memory 1 100) (data (i32.const 32) "flood")
  (func $flood (export "flood") (loop $l
    (br_if $l (i32.gt_s (call $say (i32.const 1000)) (i32.const 0)))) (call $log (i32.const -1)))
  ;; An account with so much outbox, and memory for a domain.
  (func $part (param $out i32) (result i32)
    (memory.fill (i32.const 256) (i32.const 0) (i32.const ${8 * ACCOUNT_PARTS}))
    (i64.store (i32.const 256) (i64.const 131072))
    (i64.store (i32.const ${256 + 8 * RESOURCE.cpu}) (i64.const 1000000000))
    (i64.store (i32.const ${256 + 8 * RESOURCE.domains}) (i64.const 1))
    (i64.store (i32.const ${256 + 8 * RESOURCE.capabilities}) (i64.const 100))
    (i64.store (i32.const ${256 + 8 * OUT}) (i64.extend_i32_u (local.get $out)))
    (call $divide (call $account) (i32.const 256)))
  ;; A flooding domain, which that account pays for.
  (func $kid (param $account i32) (param $flags i32) (result i32) (local $h i32)
    (local.set $h (call $create (call $own) (i32.const 0) (i32.const 0) (local.get $account) (local.get $flags)))
    (drop (call $close (local.get $account)))
    (drop (call $start (local.get $h) (i32.const 32) (i32.const 5)))
    (local.get $h))`;
const guest = (text: string) => program(`(module ${CALLS} ${text})`);

test('one that says things for ever waits at what it may, alone, over crashes, and goes on as they are heard', async () => {
  const system = new SayingSystem();
  const [flood, calm] = [
    await guest('(func (export "_start") (call $flood))'),
    await guest(`
    (func (export "_start") (local $i i32) (loop $l
      (call $log (call $say (i32.const 10))) (call $pause)
      (br_if $l (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 20)))))`),
  ];
  const account = openAccount(system.space, { outbox: 5000 });
  system.kernel.start(system.add('flood', flood, { account }), '_start');
  system.runAll();
  assert.equal(system.outOf(account), 5000 - RUN);
  assert.equal(system.waiting, 5000 - 2 * RUN);
  system.kernel.start(system.add('calm', calm), '_start');
  system.runAll();
  assert.deepEqual(system.values('calm'), new Array(20).fill(10));
  assert.deepEqual(system.values('flood'), []);
  system.checkpoint();
  system.crash();
  system.runAll();
  assert.equal(system.outOf(account), 5000 - RUN, 'what waits is charged still');
  system.hear(2000);
  assert.equal(system.outOf(account), 3000 - RUN);
  system.runAll();
  assert.ok(system.outOf(account) > 4900, 'it went on');
  // What waits when its domain goes is paid for until it is out; then nothing is left of the account.
  const blocks = system.space.heap.blockCount;
  for (const name of ['flood', 'calm']) system.kernel.remove(system.kernel.find(name));
  const gone = system.space.heap.blockCount;
  assert.ok(gone < blocks);
  system.hear(system.waiting);
  assert.equal(system.space.heap.blockCount, gone - 2, 'two accounts');
});

test('one who may say nothing is told so and does not wait for ever', async () => {
  const system = new SayingSystem();
  const module = await guest('(func (export "_start") (call $log (call $say (i32.const 1))))');
  for (const outbox of [0, RUN]) {
    const name = `n${outbox}`;
    system.kernel.start(system.add(name, module, { limits: { outbox } }), '_start');
    system.runAll();
    assert.deepEqual(system.values(name), [-ERRNO.DQUOT]);
  }
});

test('a domain that is carried to another space may say as much there', async () => {
  const [system, other] = [new SayingSystem(), new TestSystem()];
  const module = await guest('(func (export "_start") (call $flood))');
  const id = system.add('flood', module, { limits: { outbox: 3000 } });
  const image = system.kernel.exportDomain(id);
  other.personality.calls.say = () => 0;
  const there = other.kernel.core.peek(other.kernel.importDomain(image, module)) as Domain;
  assert.equal(limitOf(other.space, there.account, OUT), 3000);
  assert.throws(() => other.kernel.importDomain({ ...image, outboxLimitBytes: -1 }, module, 'b'), /limits/);
});

test('a hundred children that flood have no more than their parent, however it divides', async () => {
  const text = `(func (export "_start") (local $i i32)
    (loop $l
      (drop (call $kid (call $part (i32.const 500)) (i32.const ${DOMAIN_FLAG.linked})))
      (br_if $l (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 100))))
    (call $log (call $part (i32.const 1)))
    (call $log (call $say (i32.const 5)))
    (drop (call $wait (i32.const 0))))`;
  const system = new SayingSystem({ stress: false });
  const account = openAccount(system.space, { outbox: 50_000 });
  const id = system.add('p', await guest(text), { account });
  system.kernel.start(id, '_start');
  system.runAll();
  assert.equal(system.outOf(account), 50_000);
  assert.equal(system.waiting, 100 * (500 - RUN), 'each its part, and the parent has nothing left');
  assert.deepEqual(system.values('p'), [-ERRNO.DQUOT], 'it waits itself until a child leaves something');
  system.checkpoint();
  system.crash();
  system.runAll();
  assert.equal(system.waiting, 100 * (500 - RUN));
  // One goes: what it had not used or what has got out is the parent's again, which is woken by that.
  system.kernel.remove(system.kernel.ids().find((each) => each !== id) as number);
  system.hear(500 - RUN);
  system.runAll();
  assert.deepEqual(system.values('p'), [-ERRNO.DQUOT, 5]);
  system.kernel.remove(id);
  system.hear(system.waiting);
  assert.deepEqual([system.kernel.ids(), system.kernel.core.objects.count], [[], 0]);
});

test('children that come and go leave no more waiting than the parent may have', async () => {
  const text = `
    (func (export "_start") (local $i i32) (local $h i32)
      (loop $l
        (local.set $h (call $kid (call $part (i32.const 3000)) (i32.const 0)))
        (local.set $i (i32.const 3))
        (loop $rest (call $pause) (br_if $rest (local.tee $i (i32.sub (local.get $i) (i32.const 1)))))
        (br_if $l (i32.ge_s (call $destroy (local.get $h)) (i32.const 0))))
      (call $log (local.get $h)))`;
  const system = new SayingSystem({ stress: false });
  const account = openAccount(system.space, { outbox: 10_000 });
  system.kernel.start(system.add('p', await guest(text), { account }), '_start');
  system.runAll();
  assert.equal(system.waiting, 3 * (3000 - 2 * RUN));
  assert.equal(system.outOf(account), 3 * (3000 - RUN));
  assert.equal(system.values('p').length, 1, 'the fourth cannot be made');
});

test('what a volatile domain had said before a crash is heard, and then paid for no more', async () => {
  const system = new SayingSystem();
  const module = await guest('(func (export "_start") (call $flood))');
  const blocks = system.space.heap.blockCount;
  const id = system.add('flood', module, { volatile: true, limits: { outbox: 3000 } });
  system.kernel.start(id, '_start');
  system.runAll();
  system.checkpoint();
  system.crash();
  assert.deepEqual([system.kernel.ids(), system.waiting], [[], 3000 - 2 * RUN]);
  const before = system.space.heap.blockCount;
  system.hear(system.waiting);
  assert.equal(system.space.heap.blockCount, before - 1, `its account is gone (${blocks})`);
});

/** Whoever serves an object outside, and answers when the test says so. */
class SlowServer implements ServedPort {
  readonly asked: { id: number; bytes: number }[] = [];
  answers = false;
  #next = 1;
  ask(
    op: Operation,
    _object: number,
    _isOpened: boolean,
    request: () => ServedRequest,
  ): ServedAnswer | typeof WOULD_BLOCK {
    if (op.effect === 0) {
      op.effect = this.#next++;
      this.asked.push({ id: op.effect, bytes: request().given.length });
    }
    return this.answers ? { result: 0, value: 0n, data: new Uint8Array(0) } : WOULD_BLOCK;
  }
  cancel(): void {}
  keep(): boolean {
    return true;
  }
  release(): void {}
  rootOf(object: number): number {
    return object;
  }
}

test('what is asked of an object served outside is kept for so long, and no more of it than its account may have', async () => {
  const served = new SlowServer();
  const ports = Object.assign(new FakePorts(), { served });
  const system = new TestSystem({ ports });
  const account = openAccount(system.space, { outbox: 50_000, requests: 1000 });
  const user = await RingUser.make(system, 'a', 64, 0, { account });
  const { hosts, authority } = system.kernel.core;
  authority.grant(user.id, { name: 'x', ...hosts.capability({ kind: 'served', id: 5 }) });
  user.write(60_000, 'x');
  const handle = user.call('granted', 60_000, 1);
  const used = (): number => usedOf(system.space, account, OUT);
  const ask = (n: number, firstLength: number) => ({
    ...{ op: OPERATION.write, user: BigInt(n), handle, first: 1024, firstLength },
  });
  user.submit(...Array.from({ length: 20 }, (_, n) => ask(n, 4000)));
  assert.equal(served.asked.length, 11);
  assert.ok(used() <= 50_000 && used() > 45_000);
  system.checkpoint();
  system.crash();
  assert.equal(used(), 11 * (4000 + REQUEST_BYTES), 'it is asked again, and charged once');
  served.answers = true;
  system.powers.ns += 10_000_000n;
  system.kernel.wake(user.id);
  system.runAll();
  system.powers.ns += 10_000_000n;
  system.runAll();
  assert.equal(user.completions().filter(({ result }) => result === 0).length, 20);
  assert.equal(used(), 0);
  // A list of buffers that all lie at one place comes to more than there is of anything.
  const pairs = new Uint32Array(2 * 64).map((_, i) => (i % 2 === 0 ? 0 : 60_000));
  user.write(2000, new Uint8Array(pairs.buffer));
  user.submit({ ...ask(50, 64), first: 2000, flags: SUBMIT.vector });
  assert.deepEqual(
    user.completions().map(({ result }) => result),
    [-ERRNO.DQUOT],
  );
  served.answers = false;
  user.submit(ask(60, 10_000));
  assert.ok(used() > 10_000);
  system.kernel.remove(user.id);
  assert.equal(system.kernel.core.rings.count, 0);
});
