/**
 * The verifier: `verify(bytes)` accepts a rewritten module or refuses it with the function, the byte offset and the
 * reason. What it accepts touches no byte of the space outside the domain it is instantiated for, whoever made it; the
 * exact statement, the rules and the arguments for them are in README.md here.
 *
 * Give V8 the very bytes that were verified, and nothing that another thread can change meanwhile. Never run a
 * rewritten module that did not pass.
 *
 * Why: RATIONALE.md#the-verifier-looks-at-the-output
 */
import { decodeEvidence, type Evidence } from '../abi/evidence.ts';
import { type FunctionHints, WINDOW_READ, WINDOW_WRITE } from '../abi/hints.ts';
import {
  copyTemplate,
  fillTemplate,
  frameTemplate,
  initTemplate,
  preludeFunctions,
  type TemplateFunction,
  type TemplateMemory,
  windowTemplate,
} from '../abi/prelude.ts';
import { RefusedError } from '../base/malformed.ts';
import { Cursor } from './cursor.ts';
import { type Decoded, decode, FUNC, imported, signature } from './decode.ts';
import { decodeHints } from './hints.ts';
import { FunctionPass, NEITHER } from './pass.ts';
import { checkModule } from './rules.ts';

/**
 * A share of a module's bodies, `part` of 0 … `of` - 1: several threads verify one module when each takes one. Every
 * body is in exactly one share, the one that its number leaves divided by `of`; all else is checked with each.
 */
export interface Share {
  readonly part: number;
  readonly of: number;
}
const WHOLE: Share = { part: 0, of: 1 };

/**
 * Verifies a rewritten module and gives its evidence, which is true from then on: when all shares were accepted.
 * @throws RefusedError where a rule is broken; MalformedError where the bytes are no such module at all. Both carry the
 * byte offset.
 */
export function verify(bytes: Uint8Array, share: Share = WHOLE): Evidence {
  const m = decode(bytes);
  const section = m.evidence[0];
  if (section === undefined || m.evidence.length > 1) {
    throw new RefusedError(section ? 'evidence: more than one section' : 'no evidence', -1, -1);
  }
  const evidence = decodeEvidence(bytes.subarray(section.start, section.end));
  if (!evidence.isolate) throw new RefusedError('evidence: the module was not made to share a space', -1, -1);
  checkModule(m, evidence);
  checkBodies(m, evidence, templates(evidence, m), windowsOf(evidence), share);
  return evidence;
}

/**
 * By function of the rewritten module: the window templates, which end no window. They give addresses to read, to write, or
 * (NEITHER) none.
 */
export function windowsOf({ windows, templates: { start } }: Evidence): Map<number, number> {
  const rights = windows ? [WINDOW_READ, WINDOW_WRITE, NEITHER, NEITHER] : [];
  return new Map(rights.map((right, i) => [start + i, right]));
}

/**
 * Goes over the code of a share. `fixed`: bodies of the first functions, which are to be exactly these; `windows`: which
 * functions are window templates.
 */
export function checkBodies(
  m: Decoded,
  evidence: Evidence,
  fixed: readonly TemplateFunction[],
  windows: ReadonlyMap<number, number | undefined>,
  share: Share = WHOLE,
): void {
  const first = imported(m, FUNC);
  const hints = hintsOf(m);
  let next = 0;
  const pass = new FunctionPass(new Cursor(m.bytes), {
    evidence,
    types: m.types,
    functions: m.functions,
    windows,
  });
  m.bodies.forEach(({ start, end }, i) => {
    const template = fixed[i];
    const known = template === undefined && hints[next]?.index === first + i ? hints[next++]! : NO_HINTS;
    if (i % share.of !== share.part) return;
    if (template) checkTemplate(m, first + i, template, start, end);
    else pass.run(first + i, known, start, end);
  });
  const left = hints[next];
  if (left)
    throw new RefusedError(`hints for ${left.index}, no function to be looked at`, -1, m.hints[0]!.start);
}

const NO_HINTS: FunctionHints = { index: 0, limits: [], loops: [] };

/** What the module says of its functions, ascending. */
function hintsOf(m: Decoded): FunctionHints[] {
  const [section, second] = m.hints;
  if (second) throw new RefusedError('hints: more than one section', -1, second.start);
  return section ? decodeHints(m.bytes, section.start, section.end) : [];
}

/** The fixed bodies, in the order of their functions. */
function templates(evidence: Evidence, m: Decoded): TemplateFunction[] {
  const memory = (index: number): TemplateMemory => {
    const found = evidence.memories[index];
    if (!found) throw new RefusedError(`evidence: a template for memory ${index}`, -1, -1);
    const { is64, baseGlobal, limitGlobal } = found;
    const windows = evidence.windows && index === 0 ? evidence.templates.start : -1;
    return { is64, baseGlobal, limitGlobal, offset: index === 0 ? evidence.controlBytes : 0, windows };
  };
  const bulk = evidence.templateList.map(({ kind, a, b }): TemplateFunction => {
    if (kind === 'window') return windowTemplate(evidence.hdrGlobal, a);
    if (kind === 'fill') return fillTemplate(memory(a));
    if (kind === 'copy') return copyTemplate(memory(a), memory(b));
    if (b < 0 || b >= m.datas) throw new RefusedError(`evidence: a template for data segment ${b}`, -1, -1);
    if (kind === 'frame') return frameTemplate(evidence.hdrGlobal, b);
    return initTemplate(memory(a), b);
  });
  return [...preludeFunctions(evidence.hdrGlobal), ...bulk];
}

/** E: the body of a fixed function is the fixed one, byte for byte, and so is its type. */
function checkTemplate(
  m: Decoded,
  index: number,
  template: TemplateFunction,
  start: number,
  end: number,
): void {
  const type = m.types[m.functions[index]!]!.signature;
  const { params, results, body } = template;
  if (type !== signature(params, results))
    throw new RefusedError('not the type of its template', index, start);
  const at = body.length === end - start ? body.findIndex((byte, i) => byte !== m.bytes[start + i]) : 0;
  if (at >= 0) throw new RefusedError('not the body of its template', index, start + at);
}
