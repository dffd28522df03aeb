/** `compile-child.ts PROGRAM.wasm both|none`: compiles and verifies once, or not, and prints the peak of its memory in bytes. */
import { existsSync, readFileSync } from 'node:fs';
import { compile } from '../src/compiler/index.ts';
import { verify } from '../src/verifier/verify.ts';

const STATUS = '/proc/self/status';
const [path, work] = process.argv.slice(2);
const program = readFileSync(path!);
if (work === 'both') verify(compile(program).bytes);
// Linux hands the peak of a parent on to its child; what it says of the address space is the child's own.
const peak = existsSync(STATUS) ? /VmHWM:\s*(\d+) kB/.exec(readFileSync(STATUS, 'utf8'))?.[1] : undefined;
process.stdout.write(String(Number(peak ?? process.resourceUsage().maxRSS) * 1024));
