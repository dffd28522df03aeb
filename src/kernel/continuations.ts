/**
 * Continuations of saved frames (abi/resume.ts), made by the compiler when first wanted, verified, and shared by all domains
 * of the module. What is kept here is a cache: it is made again after a restart, by whatever compiler there
 * is then.
 */
import { continuationName, type FrameSite } from '../abi/resume.ts';
import { MAIN_MODULE } from '../abi/system.ts';
import { assert } from '../base/assert.ts';
import { RESUME_MODULES_MAX_BYTES } from '../base/limits.ts';
import { verifyResume } from '../verifier/resume.ts';
import type { Core } from './core.ts';
import type { Domain } from './domain.ts';
import { type FrameHead, readFrame } from './frames.ts';
import type { LoadedModule } from './program.ts';

/** A compiled resume module. */
export interface Resume {
  readonly module: WebAssembly.Module;
  /** Names of what it imports from the rewritten module: functions, by index, and other things. */
  readonly functions: readonly string[];
  readonly others: readonly string[];
}

/** Where the continuation of a site is. */
export interface Continuation {
  readonly resume: Resume;
  readonly name: string;
}

interface Known {
  readonly places: Map<string, Continuation>;
  /** Bytes of their modules. */
  bytes: number;
  /** How many modules were ever made. */
  made: number;
}

/** By the rewritten module, which is one for a program however often it is loaded. */
const known = new WeakMap<WebAssembly.Module, Known>();

function knownOf({ program }: LoadedModule): Known {
  let found = known.get(program);
  if (found === undefined) {
    found = { places: new Map(), bytes: 0, made: 0 };
    known.set(program, found);
  }
  return found;
}

export const siteOf = ({ trailer, functionIndex }: FrameHead): FrameSite => ({
  functionIndex,
  offset: trailer.instructionOffset,
  kind: trailer.kind,
});

/** Most places of one resume module, and most frames looked at for them: what is further down may never be returned to. */
const SITES_MAX = 64;
const FRAMES_MAX = 4096;

/**
 * The continuation of the innermost frame. Where its module has none yet, one resume module is made for all frames of
 * that module on the stack that lack theirs.
 * @throws UnsupportedError where V8 would not take it
 */
export function continuationOf(core: Core, domain: Domain, frame: FrameHead): Continuation {
  const module = domain.moduleAt(frame.module);
  assert(module !== null, 'a frame that was read is of a module that is there');
  const { places } = knownOf(module);
  const name = continuationName(siteOf(frame));
  const found = places.get(name);
  if (found !== undefined) return found;
  const before = core.powers.monotonicNs();
  makeContinuations(module, missingSites(domain, frame, places));
  core.giveGrace(Number(core.powers.monotonicNs() - before) / 1000);
  const made = places.get(name);
  assert(made !== undefined, 'a resume module has what it was made for');
  return made;
}

function missingSites(
  domain: Domain,
  innermost: FrameHead,
  places: ReadonlyMap<string, Continuation>,
): FrameSite[] {
  const missing = new Map<string, FrameSite>();
  let frame: FrameHead | null = innermost;
  for (let n = 0; frame !== null && n < FRAMES_MAX && missing.size < SITES_MAX; n++) {
    const site = siteOf(frame);
    const name = continuationName(site);
    if (frame.module === innermost.module && !places.has(name)) missing.set(name, site);
    frame = readFrame(domain.space, domain.infos, domain.stackBase, frame.start);
  }
  return [...missing.values()];
}

function makeContinuations(module: LoadedModule, sites: readonly FrameSite[]): void {
  const all = knownOf(module);
  const { places } = all;
  const bytes = module.info.resumeModule(sites, all.made++);
  // A program may stand anywhere, and its functions are as large as it likes: what was made long ago is made again.
  if (all.bytes + bytes.length > RESUME_MODULES_MAX_BYTES) {
    places.clear();
    all.bytes = 0;
  }
  all.bytes += bytes.length;
  // Without isolation there is nothing to verify: the program is alone with what it could reach.
  if (module.evidence.isolate) verifyResume(bytes, module.evidence);
  const compiled = new WebAssembly.Module(bytes);
  const wanted = WebAssembly.Module.imports(compiled).filter((item) => item.module === MAIN_MODULE);
  const names = (functions: boolean): string[] =>
    wanted.filter(({ kind }) => (kind === 'function') === functions).map(({ name }) => name);
  const resume = { module: compiled, functions: names(true), others: names(false) };
  for (const site of sites) {
    const name = continuationName(site);
    places.set(name, { resume, name });
  }
}
