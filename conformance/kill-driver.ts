/**
 * Lives of a program whose process is killed again and again, with SIGKILL and at random moments, and what can be seen
 * of them from outside.
 *
 *   const life = await live(victim, expected, { seed, kills: 8, folder })
 *   life.problem      nothing, or in what way it was not one undisturbed run
 *
 * The processes are real ones: `perdure run`, and after each kill `perdure up --exit-when-idle`, with standard output
 * appended to one regular file. Moments are drawn from the seed: while the process starts, while the program runs, or
 * just after something came out (there the store and the file are between two states). What a seed cannot fix is how
 * far the program is by then; so a seed tells which kind of life it was, and the verdict depends on no time.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import {
  closeSync,
  fstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
} from 'node:fs';
import { basename, join } from 'node:path';
import { guest } from '../guests/build.ts';
import { Prng } from '../src/base/prng.ts';
import { LAUNCHER } from '../src/cli/cli.testing.ts';
import { Space } from '../src/index.ts';
import { HOST_GRANT, inputFile, type Seen, type Victim } from './kill-programs.ts';

/** A process that takes longer than this hangs. In milliseconds; nothing comes near it. */
const HANGS_MS = 240_000;
/**
 * How long after its start, and after the program goes on, a process may live at most, in milliseconds. A first run
 * that was too short for the program to be in the space at all is followed by one that may take twice as long.
 */
const STARTING_MS = 500;
const FIRST_RUN_MS = 2000;
const RUNNING_MS = 600;
const POLL_MS = 2;
/**
 * How often a program's own process may be killed, in milliseconds, and how much processor time it has had by then, in
 * clock ticks: enough to have come to a call, however busy the machine is.
 */
const CHILD_MS = 500;
const CHILD_TICKS = 150;

export interface Plan {
  readonly seed: number;
  /** Kills at most; fewer where the program has ended before. */
  readonly kills: number;
  /** Is made; is left behind where there was a problem. */
  readonly folder: string;
  /** The program has a process of its own, which is killed as well, and far more often. */
  readonly alone?: boolean;
}

type Moment = 'starting' | 'running' | 'writing';

export interface Life {
  /** Kills that met a living process, by what it was at. */
  readonly kills: Readonly<Record<Moment, number>>;
  /** Kills that came before the program was in the space for good: it was run anew. */
  readonly unborn: number;
  /** Kills of the program's own process. */
  readonly childKills: number;
  readonly problem: string | undefined;
}

interface Ended {
  readonly code: number | null;
  readonly killed: boolean;
  readonly said: string;
  /** `perdure up` that found nothing to go on with. */
  readonly idle: boolean;
}

class Trial {
  readonly kills: Record<Moment, number> = { starting: 0, running: 0, writing: 0 };
  unborn = 0;
  /** Kills that met the program's own process. */
  childKills = 0;
  readonly #alone: boolean;
  readonly #victim: Victim;
  readonly #expected: Seen;
  readonly #random: Prng;
  readonly #space: string;
  readonly #output: string;
  readonly #granted: string;
  readonly #input: string | undefined;
  /** How much output was there after the last kill. */
  #out = 0;

  constructor(victim: Victim, expected: Seen, { seed, folder, alone }: Plan) {
    this.#alone = alone ?? false;
    this.#victim = victim;
    this.#expected = expected;
    this.#random = new Prng(seed);
    mkdirSync(folder, { recursive: true });
    this.#space = join(folder, 'space');
    this.#output = join(folder, 'out');
    this.#granted = join(folder, 'granted');
    mkdirSync(this.#granted, { recursive: true });
    this.#input = inputFile(victim, folder);
  }

  /** The whole life. Returns the problem, if there is one. */
  async run(kills: number): Promise<string | undefined> {
    const program = await guest(this.#victim.guest);
    if (this.#victim.partners !== undefined) await this.#makePartners(this.#victim.partners);
    let born = false;
    for (let n = 0; n < kills; n++) {
      const ended = await this.#start(born ? this.#up() : this.#run(program), this.#pickMoment(born));
      const wrong = ended.killed ? this.#checkPrefix() : this.#checkEnd(ended);
      if (wrong !== undefined || !ended.killed) return wrong ?? this.#checkAll();
      if (born) continue;
      born = await this.#isThere();
      if (!born && this.#out > 0) return 'output came out of a program that is not in the space';
      if (!born) this.unborn++;
    }
    const ended = await this.#start(born ? this.#up() : this.#run(program), undefined);
    return this.#checkEnd(ended) ?? this.#checkAll();
  }

  async #makePartners(partners: readonly string[]): Promise<void> {
    await using space = await Space.open(this.#space);
    for (const name of partners) await space.spawn(readFileSync(await guest(name)), { name });
  }

  #run(program: string): string[] {
    const grant = this.#victim.host ? ['--dir', `${this.#granted}::${HOST_GRANT}`] : [];
    return [
      'run',
      ...this.#checkpoints(),
      ...grant,
      ...(this.#alone ? ['--isolation', 'process'] : []),
      ...(this.#victim.compiler ? ['--grant', 'compiler'] : []),
      ...(this.#victim.partners ?? []).flatMap((name) => ['--grant', `${name}=${name}`]),
      '--name',
      this.#victim.name,
      program,
      ...this.#victim.arguments,
    ];
  }

  #up(): string[] {
    return ['up', '--exit-when-idle', ...this.#checkpoints()];
  }

  #checkpoints(): string[] {
    return ['--checkpoint-every', `${this.#random.pick([30, 100, 300, 1000])}ms`];
  }

  #pickMoment(born: boolean): Moment {
    const silent = this.#expected.output.length === 0;
    if (!born) return silent || this.#random.chance(0.6) ? 'starting' : 'writing';
    const dice = this.#random.below(10);
    return dice < 2 ? 'starting' : silent || dice < 7 ? 'running' : 'writing';
  }

  /** Starts a process, kills it at the moment given, and tells how it ended. */
  async #start(args: readonly string[], moment: Moment | undefined): Promise<Ended> {
    // After a crash the input is the same file again, or nothing: the program has its own.
    const again = args[0] === 'run' || this.#random.chance(0.5);
    const stdin = this.#input === undefined || !again ? 'ignore' : openSync(this.#input, 'r');
    const stdout = openSync(this.#output, 'a');
    const child = spawn(process.execPath, [LAUNCHER, ...args], {
      stdio: [stdin, stdout, 'pipe'],
      env: { ...process.env, PERDURE_SPACE: this.#space, NO_COLOR: '1' },
    });
    if (stdin !== 'ignore') closeSync(stdin);
    let said = '';
    const watch: { onText: () => void } = { onText: () => {} };
    child.stderr!.setEncoding('utf8').on('data', (text: string) => {
      said += text;
      if (/going on with/.test(said)) watch.onText();
    });
    const hangs = setTimeout(() => child.kill('SIGABRT'), HANGS_MS);
    const timers = this.#arm(child, moment, args[0] === 'run', stdout, watch);
    const [code, signal] = await new Promise<[number | null, NodeJS.Signals | null]>((resolve) =>
      child.on('close', (...how) => resolve(how)),
    );
    clearTimeout(hangs);
    for (const timer of timers) clearTimeout(timer);
    closeSync(stdout);
    const killed = signal === 'SIGKILL' && moment !== undefined;
    if (killed) this.kills[moment]++;
    const idle = args[0] === 'up' && !/going on with/.test(said);
    return { code, killed, idle, said: signal === 'SIGABRT' ? `${said}\n(it hung)` : said };
  }

  #arm(
    child: ChildProcess,
    moment: Moment | undefined,
    first: boolean,
    stdout: number,
    watch: { onText: () => void },
  ): Set<NodeJS.Timeout> {
    const timers = new Set<NodeJS.Timeout>();
    if (this.#alone) timers.add(setInterval(() => this.#killChild(child.pid!), CHILD_MS));
    if (moment === undefined) return timers;
    const most = moment === 'running' ? RUNNING_MS : first ? FIRST_RUN_MS << this.unborn : STARTING_MS;
    const after = moment === 'writing' ? this.#random.below(4) : this.#random.below(most);
    const kill = (): void => void timers.add(setTimeout(() => child.kill('SIGKILL'), after));
    if (moment === 'starting') kill();
    else if (moment === 'running') {
      watch.onText = () => {
        watch.onText = () => {};
        kill();
      };
    } else {
      const size = fstatSync(stdout).size;
      const poll = setInterval(() => {
        if (fstatSync(stdout).size === size) return;
        clearInterval(poll);
        kill();
      }, POLL_MS);
      timers.add(poll);
    }
    return timers;
  }

  /** Kills the program's own process, if there is one that has begun to be of use. */
  #killChild(owner: number): void {
    if (this.#random.chance(0.5)) return;
    for (const child of childrenOf(owner)) {
      process.kill(child, 'SIGKILL');
      this.childKills++;
    }
  }

  /** After a kill: what has come out is how the undisturbed run begins, and never less than before. */
  #checkPrefix(): string | undefined {
    const { size } = statSync(this.#output);
    const wanted = this.#expected.output;
    if (size < this.#out) return `output shrank from ${this.#out} to ${size} bytes`;
    this.#out = size;
    const found = this.#found();
    if (wanted.subarray(0, found.length).equals(found)) return undefined;
    return `output differs ${difference(found, wanted)}`;
  }

  /** What has come out, without the name before each line that is there as soon as several programs may write. */
  #found(): Buffer {
    const found = readFileSync(this.#output);
    if (this.#victim.prints === undefined) return found;
    return Buffer.from(found.toString().replaceAll(new RegExp(`^${this.#victim.name} \\| `, 'gm'), ''));
  }

  #checkEnd({ code, said, idle }: Ended): string | undefined {
    const wanted = this.#expected.code;
    // The end itself may have become durable just before the last kill; then there was nothing left to do.
    if (code === (idle ? 0 : wanted)) return undefined;
    return `exit code ${code}, not ${idle ? 0 : wanted}; it said: ${said.trim()}`;
  }

  /** When all is over: the program's end, its output, its files. */
  async #checkAll(): Promise<string | undefined> {
    const { code, output, files } = this.#expected;
    const listed = await this.#ask('ps', '--json');
    const all = JSON.parse(listed.toString() || '[]') as { name: string; state: string; exitCode: number }[];
    const programs = all.filter(({ name }) => this.#victim.partners?.includes(name) !== true);
    if (programs.length !== 1 || programs[0]!.state !== 'exited' || programs[0]!.exitCode !== code) {
      return `ps says ${JSON.stringify(programs)}, not one program that ended with ${code}`;
    }
    const found = this.#found();
    if (!found.equals(output)) return `output differs ${difference(found, output)}`;
    for (const [path, bytes] of files) {
      const file = this.#victim.host
        ? readFileSync(join(this.#granted, basename(path)))
        : await this.#ask('files', this.#victim.name, path);
      if (!file.equals(bytes)) return `${path} differs ${difference(file, bytes)}`;
    }
    const left = this.#victim.host ? readdirSync(this.#granted).sort() : [];
    const wanted = [...files.keys()].map((path) => basename(path)).sort();
    if (left.length > 0 && left.join() !== wanted.join())
      return `the granted folder holds ${left.join(', ')}`;
    return undefined;
  }

  async #isThere(): Promise<boolean> {
    return (await this.#ask('ps', '--names')).toString().split('\n').includes(this.#victim.name);
  }

  /** The standard output of a command that only looks. */
  async #ask(...args: string[]): Promise<Buffer> {
    const child = spawn(process.execPath, [LAUNCHER, ...args], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, PERDURE_SPACE: this.#space, NO_COLOR: '1' },
    });
    const parts: Buffer[] = [];
    let said = '';
    child.stdout.on('data', (bytes: Buffer) => void parts.push(bytes));
    child.stderr.on('data', (bytes: Buffer) => {
      said += bytes.toString();
    });
    const code = await new Promise((resolve) => child.on('close', resolve));
    // A kill may have come before there was a space at all.
    if (code !== 0 && !/there is no space/.test(said)) throw new Error(`${args.join(' ')}: ${said.trim()}`);
    return Buffer.concat(parts);
  }
}

/** Processes of the host whose parent this is, and that have had their time. */
function childrenOf(owner: number): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .filter((name) => {
      try {
        const stat = readFileSync(`/proc/${name}/stat`, 'utf8');
        const fields = stat
          .slice(stat.lastIndexOf(')') + 2)
          .split(' ')
          .map(Number);
        return fields[1] === owner && fields[11]! + fields[12]! >= CHILD_TICKS;
      } catch {
        return false; // it has ended meanwhile
      }
    })
    .map(Number);
}

/** Where two byte strings part. */
function difference(found: Buffer, wanted: Buffer): string {
  const shorter = Math.min(found.length, wanted.length);
  let at = 0;
  while (at < shorter && found[at] === wanted[at]) at++;
  const show = (bytes: Buffer): string => JSON.stringify(bytes.subarray(at, at + 60).toString());
  return `at byte ${at}: ${show(found)}, not ${show(wanted)} (${found.length} and ${wanted.length} bytes in all)`;
}

/** One life of a program, with so many kills. Its folder is removed where all was well. */
export async function live(victim: Victim, expected: Seen, plan: Plan): Promise<Life> {
  const trial = new Trial(victim, expected, plan);
  let problem: string | undefined;
  try {
    problem = await trial.run(plan.kills);
  } catch (error) {
    problem = (error as Error).message;
  }
  if (problem === undefined) rmSync(plan.folder, { recursive: true, force: true });
  return { kills: trial.kills, unborn: trial.unborn, childKills: trial.childKills, problem };
}
