/**
 * The verifier's rules, each with a way to break it: text in a file of `src/verifier` that stands there once, and what stands
 * there instead. `broken.ts` tries whether tests and fuzzer notice.
 */

export interface Broken {
  readonly name: string;
  /** In src/verifier. */
  readonly file: string;
  readonly from: string;
  readonly to: string;
}

type Breaks = readonly (readonly [name: string, from: string, to: string])[];

const CONTROL: Breaks = [
  ['locals outlive a loop head', 'this.#locals.floor = this.at;', ''],
  ['joins forget nothing', 'this.#values.join(frame.start, this.at);', ''],
  [
    'a first part that goes on has one way',
    'kind === IF && !isLive && ways === 0',
    'kind === IF && ways === 0',
  ],
  [
    'a first part that branches has one way',
    'kind === IF && !isLive && ways === 0',
    'kind === IF && !isLive',
  ],
  [
    'a first part that does not end gives something',
    'this.isLive && frame.results === 1',
    'frame.results === 1',
  ],
  [
    'what a second part gives is kept though a branch led there',
    'isLive && ways === 1 && first',
    'isLive && first',
  ],
  ['windows outlive a loop head', 'this.#values.leave(this.at);', ''],
  ['blocks have one way', '(kind !== IF && ways === 0)', '(kind !== IF)'],
  ['a dead end keeps operands', 'if (!isLive) this.#operands(frame, frame.results);', 'this.isLive = true;'],
  ['a branch to counted rounds is free', 'if (frame.rounds !== null)', 'if (frame.rounds === undefined)'],
  ['catch clauses lead nowhere', 'this.branch(label + 1);', ''],
  [
    'loop parameters are what they were',
    'this.#sp = frame.height;\n    this.pushUnknown(params);\n    const',
    'const',
  ],
  [
    'operands of outer constructs may be taken',
    'if (this.#sp <= this.#floor) this.refuse',
    'if (this.#sp <= 0) this.refuse',
  ],
  ['heights are not looked at', 'this.isLive && this.#sp !== frame.height + frame.results', 'this.#sp < 0'],
  [
    'counted loops are entered unasked',
    'if (isCounted) this.demand(entryRefusal(this.#values, this.#locals, hint));',
    '',
  ],
];

const LOCALS: Breaks = [
  ['loops set what they like', 'this.#named[local]! < this.#hinted', 'false'],
  ['loops forget nothing that varies', 'this.define(local, NONE, at);', ';'],
  ['inner loops name what they like', 'this.#named[local] !== this.#hinted', 'false'],
  [
    'a loop behind another is held to its list',
    'for (const local of varying) this.#named[local] = this.#hinted;',
    '',
  ],
  ['a limit local may be set to anything', "this.#value[local] === id ? ''", "id >= 0 ? ''"],
  ['a limit local stays one', 'this.#stamp[local] = 0;', ''],
  ['a parameter may be a limit local', 'local < params ||', ''],
  ['limit locals name memories there are not', 'if (memory >= memories)', 'if (memory < 0)'],
  ['a local may be a limit twice', 'if (this.isLimit(local)) return `local', 'if (false) return `local'],
  ['a sum that wrapped stays in a local', '&& !this.#values.mayWrap(known)', ''],
];

const ROUNDS: Breaks = [
  ['rounds may be one too many', 'max(step, 0) * (rounds - 1)', 'max(step, 0) * (rounds - 2)'],
  ['rounds go below their memory', 'min(step, 0) * (rounds - 1) < 0', 'min(step, 0) * (rounds - 2) < 0'],
  [
    'pointers begin in the control area',
    'ahead + Math.min(step, 0) *',
    'Math.abs(ahead) + Math.min(step, 0) *',
  ],
  ['reach is not counted', '(rounds - 1) + reach', '(rounds - 1)'],
  ['where a pointer begins is not counted', 'needed = ahead +', 'needed ='],
  ['pointers move on', 'moved > Math.max(step, 0)', 'moved > Math.max(step, 0) + 1'],
  ['pointers go down further', 'moved < Math.min(step, 0)', 'moved < Math.min(step, 0) - 1'],
  ['rounds count nothing', 'locals.peek(fuel) !== condition', 'false'],
  ['any branch is a round', 'values.kind[condition] !== DECREMENT', 'condition !== 0 && false'],
  ['rounds of another loop count', 'values.root[condition] !== rounds.left', 'false'],
  ['any pointer goes on', 'values.root[id] !== rounds.roots[i]', 'false'],
  ['what is no sum goes on', '(kind !== VALUE && kind !== STEPPED && !isDown) ||', ''],
  ['a pointer may begin in another memory', 'values.base[id] !== memory + 1)', 'values.base[id] === 0)'],
  ['heads know a byte more', '(root, memory, reach, at)', '(root, memory, reach + 1, at)'],
  ['there may be no round', 'rounds >= 1 &&', 'rounds >= 0 &&'],
  ['one local may be two pointers', 'if (locals.peek(local) !== NONE)', 'if (false)'],
  ['a counter need not vary', 'if (!locals.varies(local))', 'if (false)'],
  ['hints name locals there are not', 'if (most >= locals)', 'if (most < -1)'],
  ['hints name memories there are not', 'memory >= memories &&', 'memory < 0 &&'],
  ['loops with windows may call', 'values.known(rounds.roots[i]!, memory) < reach', 'false'],
];

const VALUES: Breaks = [
  ['bounds are one less', 'this.#minimum[memory]! - most)', 'this.#minimum[memory]! - most + 1)'],
  [
    'asked bounds are kept for good',
    'this.remember(this.extend(x), WORD',
    'this.#most[this.extend(x)] = most; this.remember(this.extend(x), WORD',
  ],
  ['any number is one less', 'this.literalOf(y) === one', 'this.literalOf(y) >= 0'],
  ['64-bit addresses may wrap', 'bound === 0 || this.#isBounded(root)', 'true'],
  [
    'nothing is ever void',
    'isVoid(stamp: number): boolean {',
    'isVoid(stamp: number): boolean {\n    if (stamp >= 0) return false;',
  ],
  ['facts are never void', '|| this.isVoid(this.#stamps[fact]!)', ''],
  ['windows are never forgotten', 'this.#stamps[fact]! < oldest ||', ''],
  [
    'windows have a byte more',
    'this.remember(root, memory, to - from, stamp)',
    'this.remember(root, memory, to - from + 1, stamp)',
  ],
  ['windows begin at the near address', 'root, memory + 1, -from)', 'root, memory + 1, 0)'],
  ['joined addresses have what one of them has', 'Math.min(x.to, y.to)', 'Math.max(x.to, y.to)'],
  ['joined addresses begin where one of them does', 'Math.max(x.from, y.from)', 'Math.min(x.from, y.from)'],
  ['joined addresses may be written', 'Math.min(x.memory, y.memory)', 'Math.max(x.memory, y.memory)'],
  [
    'what is read may be written',
    'memory: base - 1 === WINDOW_READ ? WINDOW_READ',
    'memory: base < 0 ? WINDOW_READ',
  ],
  ['unknown extensions are one value', 'if (id === NONE) return this.fresh(I32_MAX);', ''],
  ['an extension has no bound of its own', 'this.fresh(Math.min(this.#most[id]!, I32_MAX))', 'this.fresh(1)'],
  [
    'sums lose their constant',
    'rootX === ZERO ? rootY : rootX, base, constant)',
    'rootX === ZERO ? rootY : rootX, base, 0)',
  ],
  ['what goes down may be ahead', 'this.constant[x] !== 0 || by < 0', 'by < 0'],
  ['two bases are one', 'if (this.base[x] !== 0 && this.base[y] !== 0) return NONE;', ''],
  ['every sum with hdr is a base', 'base !== 0 && constant === 0', 'base !== 0'],
  ['a step may begin at hdr', 'base === 0 || constant < 0', 'base === 0'],
  ['a step is what it was before', 'constant + this.most(isLeft ? rootY : rootX)', 'constant'],
  ['a limit of one memory is that of all', 'this.root[x]!, y - LIMITS,', 'this.root[x]!, 0,'],
  ['what exceeds may have a base', 'this.base[x] !== 0 || this.kind[y] !== LIMIT', 'this.kind[y] !== LIMIT'],
  ['above is at least', 'this.literalOf(y) - less;', 'this.literalOf(y) - 2 * less;'],
  [
    'either is the first',
    'this.#learn(other, stamp);',
    'this.remember(this.root[one]!, this.base[other]!, 4096, stamp);',
  ],
  ['pages are of any size', 'this.literalOf(y) !== shift', 'false'],
  ['what wrapped may be learnt of', 'return !this.#isBounded(this.root[id]!);', 'return false;'],
  ['facts for one memory are for all', 'node !== 0 && this.#nodes[node] !== memory', 'false'],
  ['functions share facts', 'this.#node.fill(0, 0, this.#next);', ''],
];

const BOUNDS: Breaks = [
  ['sums do not wrap', 'most <= I32_MAX ? most : Infinity', 'most % 2 ** 32'],
  ['a remainder may be the divisor less two', 'Math.max(0, y - 1)', 'Math.max(0, y - 2)'],
  ['and is at most the lesser less one', 'return Math.min(x, y);', 'return Math.max(0, Math.min(x, y) - 1);'],
  ['shifting right shifts one more', '/ 2 ** (literal % 32)', '/ 2 ** ((literal + 1) % 32)'],
  ['shifting left shifts one less', 'x * 2 ** (literal % 32)', 'x * 2 ** ((literal % 32) - 1)'],
];

const RESULTS: Breaks = [
  ['subtracting is adding', 'case 0x7c:', 'case 0x7d: case 0x7c:'],
  ['comparing signed is a check', 'case 0x56:', 'case 0x55: case 0x56:'],
  [
    'at least is more than',
    'case 0x4f: // i32.ge_u\n      return values.above(x, y, 1);',
    'case 0x4f:\n      return values.above(x, y, 2);',
  ],
];

const ACCESS: Breaks = [
  ['one byte too many', 'reach <= known', 'reach <= known + 1'],
  ['the control area is open', 'first < 0', 'false'],
  ['the state zone begins too early', 'first >= state', 'first >= state - 1'],
  ['the state zone ends too late', 'reach <= 0', 'reach <= 1'],
  ['the state zone is at any value', 'root === ZERO && first >=', 'first >='],
  ['a mark may be one page too far', 'reach < known', 'reach < known + 4096'],
  ['a mark may be before the memory', 'pages >= 0 &&', ''],
  ['a mark may be anything', 'values.literalOf(top) !== 1', 'false'],
  ['a mark may be read', 'op !== I32_STORE8', 'false'],
  ['a mark may be before a window', 'reach < 0 && values.root[address] !== ZERO', 'false'],
  ['windows for reading may be written', 'writes && memory === WINDOW_READ', 'false'],
  ['any word may be polled', 'offset === FLAG_ADDRESS', 'true'],
  ['the safepoint word may be written', 'op === I32_LOAD &&', ''],
];

const PASS: Breaks = [
  [
    'a check proves its first part',
    'return this.#open(IF, control.pop());',
    '{ const c2 = control.pop(); this.#open(IF, c2); return this.#values.isZero(c2, control.at); }',
  ],
  [
    'a branch that is taken proves',
    'return this.#values.isZero(condition, control.at);',
    'return this.#values.isZero(this.#values.either(condition, condition) || condition, 1e9);',
  ],
  ['sign extension is below 2^32', 'op === EXTEND_U ?', 'op === EXTEND_U || op === 0xac ?'],
  ['globals of the system may be written', 'c.u32() >= this.#evidence.systemGlobals.start', 'c.u32() < 0'],
  ['references to anything', 'if (!isCallable(this.#evidence, index))', 'if (false)'],
  ['windows outlive calls', 'this.#values.leave(this.#control.at);', ''],
  ['distances in windows may be anything', 'low < 0 || memory', 'memory'],
  ['code may stand where none is reached', 'c.pos >= c.end || (next !== END && next !== ELSE)', 'false'],
  ['bodies end early', 'if (this.#c.pos !== end)', 'if (false)'],
  ['hints for loops there are not', 'if (left) this.#control.refuse', 'if (false) this.#control.refuse'],
  [
    'calls are unasked',
    'this.#control.demand(callRefusal(this.#evidence, this.#control.function, index));',
    '',
  ],
  [
    'an indirect call takes any table',
    'this.#table(this.#c.u32(), false);\n    this.#control.pop();',
    'this.#c.u32();\n    this.#control.pop();',
  ],
];

const OPCODES: Breaks = [
  ['memory may be named', 'c.u32() >= 32', 'c.u32() >= 128'],
  [
    'block types of any kind',
    "if (index < 0) c.fail('unknown block type', at);",
    'if (index < 0) return ONE_RESULT;',
  ],
  ['nulls of any kind', 'if (!HEAP_TYPES.includes(c.s33() + 0x80))', 'if (c.s33() > 2 ** 32)'],
  ['a store of 8 bytes touches 4', "[store(8), '37 39']", "[store(4), '37 39']"],
  ['a vector has 8 bytes', "[load(16), '00']", "[load(8), '00']"],
  ['signed bytes have bounds', "[load(1), '2c 30']", "[load(1, 2), '2c 30']"],
  [
    'what adds atomically only reads',
    '(gives(entry) === 0 || follows(entry) === MEMARG)',
    'gives(entry) === 0',
  ],
  ['lanes have a byte', '[loadLane(bytes),', '[loadLane(1),'],
];

const READING: Breaks = [
  [
    'small negative numbers are rounded',
    'return byte & 0x40 ? -1 - complement : value;',
    'return byte & 0x40 ? value - scale : value;',
  ],
  ['bits that do not count may be set', 'if (spare !== 0 && spare !==', 'if (false && spare !=='],
  ['numbers go on for ever', 'if (i === 9 && byte > 1) break;', ''],
];

const DECODE: Breaks = [
  ['sections in any order', 'if (place <= last)', 'if (place < 0)'],
  ['sections longer than what is in them', 'if (c.pos !== c.end) c.fail', 'if (c.pos > c.end) c.fail'],
  [
    'functions without bodies',
    'if (m.bodies.length !== m.functions.length -',
    'if (m.bodies.length > m.functions.length -',
  ],
  ['function types of any kind', 'if (c.u8() !== 0x60)', 'if (c.u8() > 0x60)'],
];

const VERIFY: Breaks = [
  ['templates may be anything', 'byte !== m.bytes[start + i]', 'byte > 255'],
  ['templates may be longer', 'body.length === end - start ?', 'body.length <= end - start ?'],
  ['templates of any type', 'if (type !== signature(params, results))', 'if (false)'],
  ['two sections of hints', 'if (second) throw', 'if (false) throw'],
  ['two sections of evidence', 'm.evidence.length > 1', 'false'],
  ['modules that share no space', 'if (!evidence.isolate)', 'if (false)'],
  ['templates for memories there are not', 'if (!found)', 'if (false)'],
  ['templates for segments there are not', 'if (b < 0 || b >= m.datas)', 'if (false)'],
  [
    'windows are what the first templates give, whatever is said',
    'windows ? [WINDOW_READ',
    'start >= 0 ? [WINDOW_READ',
  ],
  ['hints for functions there are not', 'if (left)\n', 'if (false)\n'],
];

const MODULE: Breaks = [
  ['imports of the system anywhere', 'demand(item.module !== SYSTEM_MODULE,', 'demand(true,'],
  [
    'imported functions are not where it says',
    'evidence.imports.start === SYSTEM_IMPORTS.length && evidence.imports.count === count',
    'true',
  ],
  ['any space', 'demand(fits(SPACE_IMPORT, MEMORY) && exact,', 'demand(fits(SPACE_IMPORT, MEMORY),'],
  ['any unwind tag', 'demand(fits(UNWIND_IMPORT, TAG) && typed,', 'demand(fits(UNWIND_IMPORT, TAG),'],
  ['system functions of any type', 'demand(fits(name, FUNC) && typed,', 'demand(fits(name, FUNC),'],
  ['system functions of any name', 'demand(fits(name, FUNC) && typed,', 'demand(typed,'],
  ['a memory of its own', "demand(m.memories === 1, 'a second memory');", ''],
  ['windows of 64-bit addresses', 'demand(memories[0]?.is64 === false,', 'demand(true,'],
  ['window templates anywhere', "demand(fits, 'evidence: the window", "demand(true, 'evidence: the window"],
  ['ranges of functions with gaps', 'range.start === next && range.count >= 0', 'range.count >= 0'],
  ['a part of the prelude', 'demand(prelude.count === PRELUDE_ORDER.length,', 'demand(true,'],
  ['templates differ in number', 'demand(templates.count === evidence.templateList.length,', 'demand(true,'],
  ['wrappers differ in number', 'demand(wrappers.count === imports.count,', 'demand(true,'],
  [
    'init, save and restore anywhere',
    'demand(init === next && save === next + 1 && restore === next + 2,',
    'demand(true,',
  ],
  [
    'H is any number',
    'controlBytes > STATE_OFFSET && controlBytes <= CONTROL_MAX && controlBytes % FRAME_BYTES === 0',
    'true',
  ],
  ['hdr is any global', 'demand(hdrGlobal === systemGlobals.start,', 'demand(true,'],
  ['globals of the system differ in number', 'demand(systemGlobals.count === count,', 'demand(true,'],

  ['bases and limits of memories anywhere', 'demand(places, `evidence', 'demand(true, `evidence'],
  ['memories of any size', 'demand(memory.min <= SPACE_MAX_FRAMES,', 'demand(true,'],
  ['globals of the system of any type', 'type === I64 && mutable === 1 && isZero', 'isZero'],
  [
    'globals of the system begin as anything',
    'type === I64 && mutable === 1 && isZero',
    'type === I64 && mutable === 1',
  ],
  ['refs anywhere', 'demand(refsTable === -1 || refsTable === programTables,', 'demand(true,'],
  [
    'tables differ in number',
    'demand(m.tables.length === programTables + (refsTable < 0 ? 0 : 1),',
    'demand(true,',
  ],
  ['refs is imported', 'demand(imported(m, TABLE) <= programTables,', 'demand(true,'],
  ['refs of any type', 'type === FUNCREF && (flags & ~1) === 0', 'true'],
  ['tables begin with anything', 'demand(isCallable(evidence, index)', 'demand(true'],
  [
    'constants are computed from globals of the system',
    "demand(index < evidence.systemGlobals.start, 'a constant",
    "demand(true, 'a constant",
  ],
  ['exports of the system are anything', 'system.kind === kind && system.index === index', 'true'],
  ['exports of any name', 'demand(free || name.startsWith(GUEST_EXPORT),', 'demand(true,'],
  ['exports of anything', 'demand(own, `export', 'demand(true, `export'],
  ['exports of the system are missing', 'demand(optional,', 'demand(true,'],
  ['tables of the system are open', 'return table < evidence.programTables ||', 'return table >= 0 ||'],
  ['what the kernel calls is for all', 'callee >= init && callee <= restore', 'false'],
  ['imported functions are for all', 'within(callee, imports) && !within(caller, wrappers)', 'false'],
  ['a start function', "demand(m.start < 0, 'a start function', m.start);", ''],
  ['an active data segment', "demand(m.activeData < 0, 'an active data segment', m.activeData);", ''],
];

const RESUME: Breaks = [
  ['continuations import from elsewhere', 'demand(module === MAIN_MODULE,', 'demand(true,'],
  [
    'continuations import globals by any name',
    'demand(name === globalExport(i, systemGlobals.start),',
    'demand(true,',
  ],
  [
    'continuations import refs',
    'i < programTables && name === EXPORT.table + i',
    'name === EXPORT.table + i',
  ],
  [
    'continuations import tables by any name',
    'i < programTables && name === EXPORT.table + i',
    'i < programTables',
  ],
  ['continuations import tags by any name', 'demand(name === EXPORT.tag + i,', 'demand(true,'],
  ['continuations import any function', 'isCallable(main, Number(name))', 'true'],
  [
    'continuations import some globals',
    'demand(m.globals.length === globals,',
    'demand(m.globals.length > 0,',
  ],
  ['globals of the system may be constant', 'demand(type === I64 && mutable === 1,', 'demand(true,'],
  ['continuations have globals', 'demand(m.globals.length === imported(m, GLOBAL),', 'demand(true,'],
  ['continuations have tables', 'demand(m.tables.length === imported(m, TABLE),', 'demand(true,'],
  ['continuations have tags', 'demand(m.tags === imported(m, TAG),', 'demand(true,'],
  ['continuations have element segments', 'demand(m.elements < 0,', 'demand(true,'],
  ['continuations have data segments', 'demand(m.datas === 0,', 'demand(true,'],
  ['continuations start', 'demand(m.start < 0,', 'demand(true,'],
  ['continuations write what they may read', 'known.get(index)]', 'known.has(index) ? 18 : undefined]'],
  ['continuations export anything', 'demand(plain && typeOf', 'demand(true || typeOf'],
  ['continuations export imported functions', 'index >= imported(m, FUNC) &&', ''],
  ['continuations export functions of any type', 'plain && typeOf(m, index) === signature([], [])', 'plain'],
  [
    'continuations make references',
    'prelude: { start: Infinity, count: 0 }',
    'prelude: { start: 0, count: 0 }',
  ],
];

const FILES: Readonly<Record<string, Breaks>> = {
  'control.ts': CONTROL,
  'locals.ts': LOCALS,
  'rounds.ts': ROUNDS,
  'values.ts': VALUES,
  'bounds.ts': BOUNDS,
  'results.ts': RESULTS,
  'access.ts': ACCESS,
  'pass.ts': PASS,
  'opcodes.ts': OPCODES,
  'cursor.ts': READING,
  'decode.ts': DECODE,
  'verify.ts': VERIFY,
  'rules.ts': MODULE,
  'resume.ts': RESUME,
};

export const BROKEN: readonly Broken[] = Object.entries(FILES).flatMap(([file, breaks]) =>
  breaks.map(([name, from, to]) => ({ name, file, from, to })),
);
