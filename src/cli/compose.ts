/**
 * The parts of a core put together over one space: kernel, WASI, drivers. Composition only: what runs when is
 * `machine.ts`, what can be asked is `operations.ts`.
 */
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { decodeEvidence, EVIDENCE_SECTION } from '../abi/evidence.ts';
import { EnvironmentError } from '../base/errors.ts';
import { PAGE_BYTES } from '../base/limits.ts';
import { makeModule, programInfo } from '../compiler/index.ts';
import { programSources } from '../debug/index.ts';
import { hostClock } from '../drivers/clock.ts';
import { ConsoleDriver } from '../drivers/console.ts';
import { HostFolders } from '../drivers/host/folders.ts';
import { Network } from '../drivers/net.ts';
import { Processes } from '../drivers/processes.ts';
import { hostRandom } from '../drivers/random.ts';
import type { ReleaseLog } from '../drivers/release.ts';
import { type Notice, type Outgoing, ServedObjects } from '../drivers/served.ts';
import { DriverState } from '../drivers/state.ts';
import { OutboxMeter } from '../kernel/account/meter.ts';
import { Kernel } from '../kernel/kernel.ts';
import { rootCell, stateMemory } from '../kernel/outbox-space.ts';
import type { Driver, Ports } from '../kernel/ports.ts';
import type { LoadedModule, ProgramForm } from '../kernel/program.ts';
import type { OnAnswer } from '../kernel/turns.ts';
import { WasiPersonality } from '../personalities/wasi/index.ts';
import { type PageImage, ROOT, Space } from '../space/index.ts';
import { Reader } from '../wasm/reader.ts';
import { COMPILED } from './forms.ts';
import type { CoreStart, InstalledProgram, PageChunk } from './messages.ts';

export interface Composition {
  readonly space: Space;
  readonly kernel: Kernel;
  readonly wasi: WasiPersonality;
  readonly console: ConsoleDriver;
  readonly folders: HostFolders;
  readonly network: Network;
  readonly drivers: readonly Driver[];
  readonly processes: Processes;
  readonly state: DriverState;
  readonly served: ServedObjects;
}

export interface CompositionHooks {
  /** A driver has something for a domain. */
  wake(domain: number): void;
  /** A program has made a domain; it may throw SpaceFullError. */
  made(domain: number): void;
  /** A domain is no more. */
  dropped(domain: number): void;
  /** A domain has ended. */
  ended(domain: number): void;
  /** A program asks for something of an object that the owner serves. */
  request(request: Outgoing): void;
  /** What has become of a request, or of what it opened. */
  notify(notice: Notice): void;
  /** What came of a call that the owner has made. */
  answered: OnAnswer;
  /** In one line, for people. */
  problem(text: string): void;
  readonly log: ReleaseLog;
  /** The program for a hash, at recovery. */
  program(hash: string, form: ProgramForm): LoadedModule | undefined;
}

function* pagesOf(chunks: readonly PageChunk[]): Generator<PageImage> {
  for (const { pages, data } of chunks) {
    for (let i = 0; i < pages.length; i++) {
      yield { page: pages[i]!, bytes: data.subarray(i * PAGE_BYTES, (i + 1) * PAGE_BYTES) };
    }
  }
}

/** The space of the checkpoint with everything on it, or a new one. Nothing runs yet. */
export function compose(start: CoreStart, hooks: CompositionHooks): Composition {
  const fresh = start.chunks.length === 0;
  const space = fresh ? Space.create({ id: start.id }) : Space.load(pagesOf(start.chunks));
  const memory = stateMemory(space);
  const { wake } = hooks;
  const clock = hostClock();
  const meter = new OutboxMeter(space, wake);
  const state = new DriverState(memory, rootCell(space, ROOT.ports));
  const console = new ConsoleDriver({
    memory,
    root: rootCell(space, ROOT.outbox),
    wake,
    meter,
    log: hooks.log,
    policy: start.policy,
    prefix: 'auto',
    problem: (destination, errno) => hooks.problem(`cannot write to stream ${destination}: error ${errno}`),
  });
  const folders = new HostFolders({
    state,
    wake,
    meter,
    now: () => clock.realtimeNs(),
    problem: ({ folder, path, errno, waits }) => {
      hooks.problem(`${folder}/${path}: error ${errno}${waits ? '; trying again' : ''}`);
    },
  });
  const network = new Network({
    state,
    wake,
    meter,
    problem: (address, errno) => hooks.problem(`cannot listen on ${address}: error ${errno}; trying again`),
  });
  const served = new ServedObjects({ state, wake, send: hooks.request, notify: hooks.notify });
  const ports: Ports = {
    served,
    clock,
    random: hostRandom(),
    console: (domain) => console.streams(domain),
    object: (id) => folders.object(id) ?? network.object(id),
  };
  const wasi = new WasiPersonality(space, ports);
  const processes = new Processes({
    ...aloneCode(),
    wake,
    stopEveryMs: Math.max(10, start.checkpointEveryMs / 2),
  });
  const options = {
    personality: wasi,
    meter,
    compiler: makeModule,
    enclosures: processes,
    problem: hooks.problem,
    onEnd: hooks.ended,
    onMade: hooks.made,
    onDrop: hooks.dropped,
    onAnswer: hooks.answered,
    powers: {
      monotonicNs: () => process.hrtime.bigint(),
      threadCpuMicros: () => {
        const { user, system } = process.threadCpuUsage();
        return user + system;
      },
      random: (into: Uint8Array) => ports.random.fill(into),
    },
  };
  const kernel = fresh ? new Kernel(space, options) : Kernel.recover(space, options, hooks.program);
  const drivers = [console, folders, network, served];
  return { space, kernel, wasi, console, folders, network, processes, drivers, state, served };
}

/** Where the program of processes lies, and what such a process has to read to run it. */
export function aloneCode(): { entry: string; readable: string[] } {
  const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js';
  const entry = fileURLToPath(new URL(`./alone.${extension}`, import.meta.url));
  const code = dirname(dirname(entry));
  return { entry, readable: [join(code, '*'), join(dirname(code), 'package.json')] };
}

/** An installed program as the kernel takes it. What is slow and often not needed is worked out when asked for. */
export function loadProgram(installed: InstalledProgram): LoadedModule {
  let program = installed.program;
  let evidence: LoadedModule['evidence'] | undefined;
  let info: LoadedModule['info'] | undefined;
  const loaded: LoadedModule = {
    hash: installed.hash,
    get program() {
      program ??= new WebAssembly.Module(installed.rewritten as Uint8Array<ArrayBuffer>);
      return program;
    },
    get evidence() {
      evidence ??= evidenceOf(installed);
      return evidence;
    },
    get info() {
      info ??= programInfo(installed.original, installed.rewritten, COMPILED[installed.form]);
      return info;
    },
    ...(installed.form === 'process' ? { alone: installed } : {}),
    windowed: installed.form === 'windows',
    sources: programSources(installed.original, installed.sourceMap),
  };
  return loaded;
}

function evidenceOf({ rewritten, hash }: InstalledProgram): LoadedModule['evidence'] {
  const section = customSection(rewritten, EVIDENCE_SECTION);
  if (section === undefined) {
    throw new EnvironmentError('store-damaged', `the program ${hash} has no evidence`);
  }
  return decodeEvidence(section);
}

/** The contents of a custom section. What V8 could tell as well is read here: not every program is to be compiled. */
function customSection(module: Uint8Array, wanted: string): Uint8Array | undefined {
  const r = new Reader(module, 8);
  while (r.pos < r.end) {
    const id = r.u8();
    const size = r.u32();
    const end = r.pos + size;
    if (id === 0 && r.name() === wanted) return module.subarray(r.pos, end);
    r.pos = end;
  }
  return undefined;
}
