/**
 * A domain as plain data: what `export` writes to a file and `import` makes a domain of in another space, on another
 * machine, under a later compiler. Everything is in terms of the program as it was shipped, and of modules as it handed
 * them over: memories, globals by index, tables by function number, saved frames; and of what it has (capability/belongings.ts).
 * Addresses and anything of the space it came from are left out.
 *
 * An image may come from anywhere: `adoptImage` believes nothing.
 *
 * Why: RATIONALE.md#imported-programs-are-compiled-again
 */
import { RESOURCE } from '../abi/account.ts';
import { ERRNO } from '../abi/errno.ts';
import { TRAILER_BYTES } from '../abi/frame.ts';
import { RESULTS_OFFSET, VALUE_BYTES } from '../abi/layout.ts';
import { EnvironmentError, MalformedError } from '../base/errors.ts';
import {
  FRAME_BYTES,
  FRAME_STACK_MAX_BYTES,
  GATE_VALUES_MAX,
  MADE_CODE_MAX_BYTES,
  MADE_MODULE_MAX_BYTES,
  MADE_MODULES_MAX,
  SPACE_MAX_FRAMES,
} from '../base/limits.ts';
import { limitOf } from './account/account.ts';
import { chargeTime, cpuLimitMs } from './account/time.ts';
import { SCRATCH_WORDS } from './caller.ts';
import { adoptBelongings } from './capability/arrival.ts';
import { type BelongingsImage, belongingsImage } from './capability/belongings.ts';
import { adoptObject, type ObjectImage, objectImage } from './capability/carried.ts';
import type { Core } from './core.ts';
import { type Domain, DomainRecord, FLAG, STATE, STATE_NAMES } from './domain.ts';
import { framesAreWhole } from './frames.ts';
import { MADE, type Maker } from './maker.ts';
import { growStack, placeDomain } from './memory.ts';
import type { LoadedModule, StateSlot } from './program.ts';
import { keepTables, markControl, savedTables } from './saved.ts';
import { mostResults } from './zone.ts';

const R = DomainRecord.fields;
/** 2 has frames of version 2 and modules made at run time, 3 calls of procedures, 4 what the domain has; what 1 to 3 hold means the same. */
export const IMAGE_VERSION = 4;
const IMAGE_OLDEST_VERSION = 1;

export interface SlotImage {
  kind: StateSlot['kind'];
  index: number;
  type: number;
  /** VALUE_BYTES bytes. */
  value: Uint8Array;
}

export interface MemoryImage {
  /** Pages of 64 KiB. */
  pages: number;
  /** What is not zero: pieces of at most 64 KiB. */
  pieces: { offset: number; bytes: Uint8Array }[];
}

/** A module that the domain has made at run time. */
export interface MadeImage {
  number: number;
  released: boolean;
  code: Uint8Array;
  firstSlot: number;
  slots: number;
  state: SlotImage[];
}

export interface DomainImage {
  version: number;
  name: string;
  /** SHA-256 of the program, hexadecimal. */
  hash: string;
  state: 'created' | 'ready' | 'blocked' | 'stopped' | 'idle';
  memoryLimitBytes: number;
  /** Missing where it was written before outboxes were charged. */
  outboxLimitBytes?: number;
  cpuLimitMs: number;
  cpuMicros: number;
  resident: boolean;
  started: boolean;
  trapUnknownImports: boolean;
  memories: MemoryImage[];
  slots: SlotImage[];
  /** Results of the last call that returned, VALUE_BYTES each. */
  results: Uint8Array;
  /** Saved call frames (abi/frame.ts), outermost first. */
  frames: Uint8Array;
  /** See saved.ts; empty where no table can change. */
  tables: Int32Array;
  scratch: Uint8Array;
  /** Function the activation began with. */
  entry: number;
  /** Its own time, ns. */
  clock: bigint;
  /** What the personality makes of its state. */
  personality: unknown;
  /** How the call of a procedure ended that the innermost frame is to make again; missing where it is none. */
  answer?: { errno: number; values: Uint8Array };
  /** How the last call of a procedure ended; missing before version 3. */
  gateError?: number;
  /** Ascending by number; missing in version 1. */
  made?: MadeImage[];
  /** What it is to whoever has a capability to it; missing where nobody had one. */
  object?: ObjectImage | null;
  /** Its list and what is its own; missing before version 4. */
  belongings?: BelongingsImage;
}

/** @throws EnvironmentError for a domain that has ended or is volatile */
export function makeImage(core: Core, domain: Domain): DomainImage {
  const { space, at } = domain;
  const { info } = domain.module;
  if (domain.state === STATE.exited) {
    throw new EnvironmentError('ended', `${domain.name} has ended: there is nothing to export`);
  }
  const results = VALUE_BYTES * mostResults(domain.module);
  const state = R.personality.get(space, at);
  return {
    version: IMAGE_VERSION,
    name: domain.name,
    hash: domain.module.hash,
    state: STATE_NAMES[domain.state] as DomainImage['state'],
    memoryLimitBytes: limitOf(space, domain.account, RESOURCE.memory),
    outboxLimitBytes: limitOf(space, domain.account, RESOURCE.outbox),
    cpuLimitMs: cpuLimitMs(domain),
    cpuMicros: R.cpuUsed.get(space, at),
    resident: domain.hasFlag(FLAG.resident),
    started: domain.hasFlag(FLAG.started),
    trapUnknownImports: domain.hasFlag(FLAG.trapUnknown),
    memories: Array.from({ length: domain.memoryCount }, (_, i) => memoryImage(domain, i)),
    slots: slotImages(domain, info.stateSlots),
    results: space.readBytes(domain.region + RESULTS_OFFSET, results),
    frames: space.readBytes(domain.stackBase, domain.stackPointer - domain.stackBase),
    tables: savedTables(space, domain) ?? new Int32Array(0),
    scratch: ownScratch(domain),
    entry: domain.main?.entry ?? 0,
    clock: core.now() + domain.clockOffset,
    personality: state === 0 ? null : (core.personality.describe?.(space, domain.id, state) ?? null),
    ...callsImage(domain),
    made: [...(domain.maker?.numbers() ?? [])].map((number) => madeImage(domain, number)),
    object: objectImage(core, domain),
    belongings: belongingsImage(core, domain),
  };
}

/** That of a call which its own code has made. */
const ownScratch = ({ main }: Domain): Uint8Array =>
  main?.visits.length === 1 ? main.scratch : new Uint8Array(8 * SCRATCH_WORDS);

/** A call that is under way in another domain cannot come along: it will be found to have failed. */
function callsImage({ main }: Domain): Pick<DomainImage, 'answer' | 'gateError'> {
  if (main === null) return {};
  const { gateError } = main;
  if (main.visits.length > 1) return { gateError, answer: { errno: ERRNO.GONE, values: new Uint8Array(0) } };
  // An answer to a question of a kind is not for where it goes: there it will be asked again.
  if (!main.answered || main.answerFor !== 0) return { gateError };
  return { gateError, answer: { errno: main.answerErrno, values: main.answerValues } };
}

function slotImages(domain: Domain, slots: readonly StateSlot[]): SlotImage[] {
  return slots.map(({ kind, index, type, offset }) => ({
    ...{ kind, index, type },
    value: domain.space.readBytes(domain.region + offset, VALUE_BYTES),
  }));
}

function madeImage(domain: Domain, number: number): MadeImage {
  const maker = domain.maker as Maker;
  const { state, firstSlot, slots } = maker.entry(number);
  return {
    ...{ number, firstSlot, slots, released: state === MADE.released },
    code: maker.code(number),
    state: slotImages(domain, maker.load(number).info.stateSlots),
  };
}

function memoryImage(domain: Domain, memory: number): MemoryImage {
  const { space } = domain;
  const from = domain.addressOf(memory);
  const pieces: MemoryImage['pieces'] = [];
  for (let offset = 0; offset < domain.bytesOf(memory); offset += FRAME_BYTES) {
    const bytes = space.readBytes(from + offset, FRAME_BYTES);
    let [first, end] = [0, FRAME_BYTES];
    while (first < end && bytes[first] === 0) first++;
    while (end > first && bytes[end - 1] === 0) end--;
    if (end > first) pieces.push({ offset: offset + first, bytes: bytes.slice(first, end) });
  }
  return { pages: domain.pagesOf(memory), pieces };
}

const STATES = ['created', 'ready', 'blocked', 'stopped', 'idle'];

function demand(ok: boolean, what: string): asserts ok {
  if (!ok) throw new MalformedError(`domain image: ${what}`, -1);
}
const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;
const isBytes = (value: unknown): value is Uint8Array => value instanceof Uint8Array;

/**
 * Checks what can be checked of an image before there is a domain for it.
 * @throws MalformedError
 */
export function checkImage(image: DomainImage, module: LoadedModule): void {
  demand(typeof image === 'object' && image !== null, 'it is no image');
  const { version } = image;
  const known = isCount(version) && version >= IMAGE_OLDEST_VERSION && version <= IMAGE_VERSION;
  demand(known, `version ${String(version)} is not ${IMAGE_VERSION}`);
  demand(image.hash === module.hash, 'it is of another program');
  demand(typeof image.name === 'string', 'its name');
  demand(STATES.includes(image.state), 'its state is none');
  const { answer, gateError = 0 } = image;
  demand(isCount(gateError) && gateError < 2 ** 16, 'how its last call ended');
  if (answer !== undefined) {
    demand(isCount(answer?.errno) && answer.errno < 2 ** 16, 'how a call ended');
    const most = VALUE_BYTES * GATE_VALUES_MAX;
    demand(isBytes(answer.values) && answer.values.length <= most, 'the results of a call');
  }
  demand(isCount(image.cpuMicros) && isCount(image.memoryLimitBytes), 'limits');
  demand(isCount(image.outboxLimitBytes ?? 0), 'limits');
  demand(
    typeof image.cpuLimitMs === 'number' && image.cpuLimitMs >= 0 && image.cpuLimitMs < 2 ** 40,
    'limits',
  );
  const { memories } = module.evidence;
  demand(Array.isArray(image.memories) && image.memories.length === memories.length, 'memories');
  for (const [i, memory] of image.memories.entries()) {
    demand(isCount(memory?.pages) && memory.pages <= SPACE_MAX_FRAMES, 'the size of a memory');
    demand(memory.pages >= (memories[i]?.min ?? 0), 'a memory is smaller than it can be');
    demand(Array.isArray(memory.pieces), 'the contents of a memory');
  }
  demand(isCount(image.entry) && image.entry < module.info.functionCount, 'the function it began with');
  demand(typeof image.clock === 'bigint', 'its clock');
}

/**
 * Fills a new domain's record from an image that was checked. True where it wants to run.
 * @throws MalformedError, EnvironmentError, SpaceFullError; the caller drops the record
 */
export function adoptImage(core: Core, domain: Domain, image: DomainImage): boolean {
  const { space, at } = domain;
  placeDomain(
    domain,
    image.memories.map(({ pages }) => pages),
  );
  for (const [i, memory] of image.memories.entries()) {
    for (const piece of memory.pieces) {
      demand(isCount(piece?.offset) && isBytes(piece.bytes), 'a piece of memory');
      demand(piece.offset + piece.bytes.length <= domain.bytesOf(i), 'a piece of memory lies outside');
      space.writeBytes(domain.addressOf(i) + piece.offset, piece.bytes);
    }
  }
  adoptState(domain, image);
  adoptMade(domain, image.made ?? []);
  adoptActivation(core, domain, image);
  chargeTime(domain, image.cpuMicros);
  domain.clockOffset = BigInt.asIntN(64, image.clock - core.now());
  domain.setFlag(FLAG.started, image.started === true);
  domain.setFlag(FLAG.initialised, true);
  if (image.personality !== null) {
    demand(core.personality.adopt !== undefined, 'its personality keeps no state here');
    R.personality.set(space, at, core.personality.adopt(space, domain.id, image.personality, domain.name));
  }
  const object = image.object ?? null; // null where it came out of an archive
  if (object !== null) adoptObject(core, domain, object);
  const { belongings = null } = image;
  if (belongings !== null) adoptBelongings(core, domain, belongings);
  if (image.state === 'idle') domain.state = STATE.idle;
  if (image.state === 'stopped') {
    domain.state = STATE.stopped;
    domain.halted = true;
  }
  return image.state === 'ready' || image.state === 'blocked';
}

/** What it was doing: its saved frames, and the call that the innermost stands in. */
function adoptActivation(core: Core, domain: Domain, image: DomainImage): void {
  demand(isBytes(image.scratch) && image.scratch.length === 8 * SCRATCH_WORDS, 'the call in progress');
  adoptFrames(domain, image);
  if (image.frames.length === 0) return;
  const activation = core.activations.start(domain, image.entry);
  activation.scratch = image.scratch;
  activation.gateError = image.gateError ?? 0;
  if (image.answer !== undefined) activation.answer(image.answer.errno, image.answer.values);
}

/** Globals, flags, results, tables. */
function adoptState(domain: Domain, image: DomainImage): void {
  const { space, module } = domain;
  adoptSlots(domain, image.slots, module.info.stateSlots);
  demand(isBytes(image.results) && image.results.length <= VALUE_BYTES * mostResults(module), 'results');
  space.writeBytes(domain.region + RESULTS_OFFSET, image.results);
  demand(image.tables instanceof Int32Array, 'tables');
  if (image.tables.length > 0) {
    keepTables(space, domain, image.tables);
  }
  markControl(domain);
}

function adoptSlots(domain: Domain, slots: readonly SlotImage[], wanted: readonly StateSlot[]): void {
  demand(Array.isArray(slots), 'globals');
  const given = new Map<string, Uint8Array>();
  for (const slot of slots) {
    demand(isBytes(slot?.value) && slot.value.length === VALUE_BYTES, 'a global');
    given.set(`${slot.kind} ${slot.index} ${slot.type}`, slot.value);
  }
  for (const { kind, index, type, offset } of wanted) {
    const value = given.get(`${kind} ${index} ${type}`);
    demand(value !== undefined, `${kind} ${index} is missing`);
    domain.space.writeBytes(domain.region + offset, value);
  }
}

/** Modules that were made at run time are compiled and verified like any that is handed over now. */
function adoptMade(domain: Domain, made: readonly MadeImage[]): void {
  const { maker } = domain;
  demand(Array.isArray(made) && (made.length === 0 || maker !== null), 'modules made at run time');
  let before = 0;
  for (const image of made) {
    const { number, code, firstSlot, slots } = image ?? {};
    demand(isCount(number) && number > before && number <= MADE_MODULES_MAX, 'the number of a made module');
    demand(isBytes(code) && code.length <= MADE_MODULE_MAX_BYTES, 'the code of a made module');
    demand(isCount(firstSlot) && isCount(slots) && firstSlot + slots < 2 ** 32, 'slots of a made module');
    const { codeBytes } = maker as Maker;
    demand(codeBytes + code.length <= MADE_CODE_MAX_BYTES, 'more code was made than there may be');
    const module = (maker as Maker).adopt(number, Uint8Array.from(code), { firstSlot, slots });
    adoptSlots(domain, image.state, module.info.stateSlots);
    if (image.released === true) (maker as Maker).release(number);
    before = number;
  }
}

function adoptFrames(domain: Domain, image: DomainImage): void {
  const { space } = domain;
  const { frames } = image;
  demand(
    isBytes(frames) && frames.length % 8 === 0 && frames.length <= FRAME_STACK_MAX_BYTES,
    'saved frames',
  );
  const runs = image.state === 'ready' || image.state === 'blocked';
  const none = image.state === 'created' || image.state === 'idle';
  demand(frames.length === 0 ? !runs : !none && frames.length >= TRAILER_BYTES, 'saved frames');
  while (domain.stackLimit - domain.stackBase < frames.length) {
    demand(growStack(domain), 'saved frames are more than there is room for');
  }
  space.writeBytes(domain.stackBase, frames);
  domain.setStackPointer(domain.stackBase + frames.length);
  const whole = framesAreWhole(space, domain.infos, domain.stackBase, domain.stackPointer);
  demand(whole, 'saved frames are not whole frames of this program');
}
