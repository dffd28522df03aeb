/**
 * The core: what one thread running the kernel has in its hands while it runs. All of it is of the moment; nothing
 * here outlives a checkpoint. One domain runs at a time, so system calls find their caller in `current`.
 */
import { RESOURCE } from '../abi/account.ts';
import { FLAG_ADDRESS, GRACE_ADDRESS } from '../abi/layout.ts';
import { OBJECT } from '../abi/objects.ts';
import { assert } from '../base/assert.ts';
import {
  FRAME_STACK_MAX_BYTES,
  GRACE_RATIO,
  GRACE_TICKS_MAX,
  INSTANCES_MAX,
  TICK_MS,
} from '../base/limits.ts';
import { type Space, SpaceFullError, SUPERBLOCK_ADDRESS, Superblock } from '../space/index.ts';
import { parentOf, refund, releaseAccount } from './account/account.ts';
import { registerAccounts } from './account/calls.ts';
import type { OutboxMeter } from './account/meter.ts';
import type { Ending } from './activation.ts';
import type { Personality } from './caller.ts';
import { CallTable } from './calls.ts';
import { Authority } from './capability/authority.ts';
import { capabilityCalls } from './capability/calls.ts';
import { Capabilities } from './capability/capabilities.ts';
import { Children } from './capability/children.ts';
import { CLists } from './capability/clists.ts';
import { type DomainControl, domainCalls } from './capability/domains.ts';
import { moveEpoch } from './capability/epoch.ts';
import { Kinds } from './capability/kinds.ts';
import { Objects } from './capability/objects.ts';
import { Programs } from './capability/programs.ts';
import { Sturdies } from './capability/sturdy.ts';
import { type Domain, END, STATE } from './domain.ts';
import { type Activation, Activations } from './gate/activations.ts';
import { Boards } from './gate/boards.ts';
import type { Granted } from './gate/grants.ts';
import { Passage } from './gate/passage.ts';
import type { ModuleLoader } from './loader.ts';
import { captureStack } from './native.ts';
import type { Ports } from './ports.ts';
import { ringCalls } from './ring/calls.ts';
import { Hosts } from './ring/hosts.ts';
import { Nodes } from './ring/nodes.ts';
import { Rings } from './ring/rings.ts';
import { SegmentServer } from './ring/segments.ts';
import { WaitSetServer } from './ring/semaphores.ts';
import { segmentCalls } from './segment/calls.ts';
import { SegmentObjects } from './segment/contents.ts';
import { Windows } from './segment/windows.ts';
import type { Touched } from './touched.ts';
import type { Trace } from './trace.ts';
import { NO_TRACE } from './trace.ts';
import type { Waits } from './wait/queues.ts';

/** What the kernel takes from its host. */
export interface Powers {
  /** Nanoseconds from any fixed point, never going back. */
  monotonicNs(): bigint;
  /** Processor time of this thread, microseconds. */
  threadCpuMicros(): number;
  /** Fills with bytes fit for keys. Without it no sturdy reference can be made. */
  random?(into: Uint8Array): void;
}

/** A domain that is to end, and how. */
export interface Condemned {
  readonly domain: Domain;
  readonly end: number;
  readonly code: number;
  readonly reason: string;
  readonly trace: Trace;
}

export class Core {
  readonly space: Space;
  readonly powers: Powers;
  readonly personality: Personality;
  /** What programs import from the kernel itself; each part of it adds its own. */
  readonly calls = new CallTable();
  readonly objects: Objects;
  readonly capabilities: Capabilities;
  readonly clists: CLists;
  readonly sturdies: Sturdies;
  readonly authority: Authority;
  readonly kinds: Kinds;
  readonly programs: Programs;
  readonly children = new Children();
  /** What programs may have done to domains; null where they can make none. */
  control: DomainControl | null = null;
  /** A program has made a domain; see KernelOptions.onMade. */
  made: (id: number) => void = () => {};
  /** The domain of this number, where there is one. Whoever has the domains sets it. */
  peek: (id: number) => Domain | undefined = () => undefined;
  readonly segments: SegmentObjects;
  readonly windows: Windows;
  readonly rings: Rings;
  readonly nodes: Nodes;
  readonly hosts: Hosts;
  /** The outside, where there is one. */
  readonly ports: Ports | null;
  /** Has a domain that waits look again. The kernel sets it. */
  wake: (id: number) => void = () => {};
  /** For domains that make code at run time; null where none may. */
  loader: ModuleLoader | null = null;
  /** Charges what waits to get out; null where nothing does. */
  meter: OutboxMeter | null = null;
  /** Who waits at semaphores and for notifications; null in the process of a program that is alone there. */
  waits: Waits | null = null;
  /** The tag by which running code unwinds, and the one exception of it that system calls throw. */
  readonly unwindTag = new WebAssembly.Tag({ parameters: [] });
  readonly unwind = new WebAssembly.Exception(this.unwindTag, []);
  /** Most bytes of saved call stack of a domain while it runs. */
  frameStackMax = FRAME_STACK_MAX_BYTES;
  /** Most instances that are kept of domains that do nothing. */
  instancesMax = INSTANCES_MAX;
  /** The activation that runs. */
  activation: Activation | null = null;
  readonly activations: Activations;
  /** Sees to it that a domain has a running form; gives its end where it can have none. */
  prepare: (domain: Domain) => Ending | null = () => null;
  /** Where imports of procedures lead, by what a domain was granted. */
  granted: Granted = () => null;
  /** Calls through gates: what is of the moment. */
  readonly boards: Boards;
  readonly passage: Passage;
  /** Domains that are to end, and those that have been stopped, when nothing is on the native stack. */
  readonly condemned: Condemned[] = [];
  readonly stopped: Domain[] = [];
  /** Notes what the current system call writes, where somebody has to know. */
  touched: Touched | null = null;
  /** The current system call waits: the domain becomes blocked when it has unwound. */
  blocked = false;
  /** Processor time of this thread when the current slice began, microseconds. */
  sliceStartMicros = 0;
  /** The current domain gave up the rest of its slice. */
  yielded = false;
  /** An error of ours came up inside a system call; thrown again when the domain has unwound. */
  fault: { error: unknown } | null = null;
  readonly #clockBase: bigint;

  constructor(space: Space, powers: Powers, personality: Personality, ports: Ports | null = null) {
    this.space = space;
    this.powers = powers;
    this.personality = personality;
    this.ports = ports ?? personality.ports ?? null;
    this.boards = new Boards(space);
    this.passage = new Passage(this.boards);
    this.objects = new Objects(space);
    this.capabilities = new Capabilities(space, this.objects);
    this.clists = new CLists(space, this.objects, this.capabilities);
    const random = powers.random?.bind(powers);
    this.sturdies = new Sturdies(space, this.objects, this.capabilities, random);
    this.authority = new Authority(this);
    this.calls.add(capabilityCalls(this));
    this.kinds = new Kinds(this);
    this.programs = new Programs(space, this.objects);
    registerAccounts(this);
    this.activations = new Activations(space);
    this.segments = new SegmentObjects(this);
    this.windows = new Windows(this, this.segments);
    this.calls.add(segmentCalls(this));
    this.calls.add(domainCalls(this));
    this.rings = new Rings(this);
    this.nodes = new Nodes(this);
    this.hosts = new Hosts(this);
    this.rings.serve(OBJECT.node, this.nodes);
    this.rings.serve(OBJECT.host, this.hosts);
    this.rings.serve(OBJECT.segment, new SegmentServer(this));
    this.rings.serve(OBJECT.waitSet, new WaitSetServer(this));
    this.rings.serve(OBJECT.served, this.rings.tables);
    this.calls.add(ringCalls(this));
    personality.attach?.(this);
    this.#clockBase = Superblock.fields.clock.get(space, SUPERBLOCK_ADDRESS) - powers.monotonicNs();
  }

  /** Lets go of an account. What was left of it comes back, and somebody may have waited for that. */
  releaseAccount(account: number): void {
    const parent = parentOf(this.space, account);
    releaseAccount(this.space, account);
    if (parent !== 0) this.meter?.roomMade(parent);
  }

  /** Bytes on their way out are there, or will never be. */
  refundOutbox(account: number, bytes: number): void {
    if (this.meter !== null) this.meter.refund(account, bytes);
    else if (bytes > 0) refund(this.space, account, RESOURCE.outbox, bytes);
  }

  /** Monotonic time of the space, ns: goes on from the last checkpoint after a restart. */
  now(): bigint {
    return this.#clockBase + this.powers.monotonicNs();
  }

  /** Time of the host, ns since 1970. */
  realtime(): bigint {
    return this.ports?.clock.realtimeNs() ?? this.now();
  }

  /** The number that the next domain will have. */
  get nextDomain(): number {
    return Superblock.fields.nextDomain.get(this.space, SUPERBLOCK_ADDRESS);
  }

  raiseFlag(): void {
    Atomics.store(this.space.i32, FLAG_ADDRESS >> 2, 1);
  }
  /** What runs is to stop at its next safepoint, and goes on when others had their turn. */
  pauseSoon(): void {
    this.yielded = true;
    this.raiseFlag();
  }
  clearFlag(): void {
    Atomics.store(this.space.i32, FLAG_ADDRESS >> 2, 0);
  }
  get flagRaised(): boolean {
    return Atomics.load(this.space.i32, FLAG_ADDRESS >> 2) !== 0;
  }

  /** Making what the program goes on with took so long; it will not again, so it may now run for longer. */
  giveGrace(micros: number): void {
    this.#letPass(Math.ceil((micros * GRACE_RATIO) / (TICK_MS * 1000)));
  }

  /**
   * A slice took so long and got so much of the processor. Where it was the lesser part, because the machine has more to do,
   * the next one may last longer: what stopping costs does not become less with what a slice gets done.
   */
  noteSlice(micros: number, processorMicros: number): void {
    const starved = processorMicros > 0 && micros > TICK_MS * 500 && micros > 2 * processorMicros;
    if (starved) this.#letPass(Math.floor(micros / processorMicros) - 1);
  }

  /** So many ticks, if no more already, ask for no safepoint. */
  #letPass(ticks: number): void {
    const { i32 } = this.space;
    const now = Atomics.load(i32, GRACE_ADDRESS >> 2);
    Atomics.store(i32, GRACE_ADDRESS >> 2, Math.max(now, Math.min(ticks, GRACE_TICKS_MAX)));
  }

  /** The domain whose code runs. */
  get current(): Domain | null {
    return this.boards.current as Domain | null;
  }
  set current(domain: Domain | null) {
    this.boards.current = domain;
  }

  /** The domain whose system call this is. */
  caller(): Domain {
    const { current } = this;
    assert(current !== null, 'a system call has a caller');
    return current;
  }

  /** The activation whose system call this is. */
  running(): Activation {
    assert(this.activation !== null, 'a system call is made by an activation');
    return this.activation;
  }

  /**
   * Ends a domain as soon as nothing is on the native stack; from now on no code of it begins to run. From inside a system
   * call, of whatever domain. If that is the same, its code must unwind.
   */
  condemn(domain: Domain, end: Omit<Condemned, 'domain'>): void {
    if (this.condemned.some((each) => each.domain === domain)) return;
    this.condemned.push({ domain, ...end });
    domain.ending ??= { end: end.end, code: end.code, reason: end.reason };
    domain.halted = true;
    this.moveEpoch();
  }

  /** Whether the activation that runs is in a domain, there or on its way to where it is. */
  isRunning(domain: Domain): boolean {
    const inside = this.activation?.visits.some((visit) => visit.domain === domain);
    return domain.nativeFrames > 0 || inside === true;
  }

  /** Removes a domain as soon as nothing is on the native stack. For whoever has a capability to it, it is gone now. */
  doom(domain: Domain): void {
    domain.doomed = true;
    this.authority.forget(domain);
    this.condemn(domain, { end: END.killed, code: 0, reason: 'removed', trace: NO_TRACE });
    this.pauseSoon();
  }

  /** Stops a domain in the same way. If it is the one that runs, its code must unwind. */
  halt(domain: Domain): void {
    if (domain.halted) return;
    domain.state = STATE.stopped;
    domain.halted = true;
    this.stopped.push(domain);
    this.moveEpoch();
  }

  /** What was looked up before may not be true any more. */
  moveEpoch(): void {
    moveEpoch(this.space);
  }

  /** Ends the running domain: its code unwinds, then it is gone. Throws; what it throws no program can keep. */
  endCurrent(end: number, code: number, reason: string): never {
    this.caller().ending ??= { end, code, reason };
    throw this.unwind;
  }
  trap(reason: string): never {
    this.caller().ending ??= { end: END.trap, code: 0, reason, stack: { error: captureStack() } };
    throw this.unwind;
  }

  /** What to throw into the program when a system call threw `error`. */
  translate(error: unknown): unknown {
    if (error === this.unwind) return error;
    // A program's own exception, from another program that an embedder linked to it: it goes on through the caller.
    if (error instanceof WebAssembly.Exception) return error;
    const domain = this.caller();
    if (error instanceof SpaceFullError) {
      domain.ending ??= { end: END.limit, code: 0, reason: error.message };
    } else {
      this.fault ??= { error };
      domain.ending ??= { end: END.killed, code: 0, reason: 'an internal error of the system' };
    }
    return this.unwind;
  }
}
