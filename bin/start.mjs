/**
 * `npm start`: the main job on one screen. Runs a program that searches for about twenty seconds, kills the process
 * that hosts it with SIGKILL in the middle, resumes it, and checks that what it wrote is what one undisturbed run
 * would have written: no line lost, none twice. Ctrl-C suspends it; `npm start` again goes on.
 */
import { spawn } from 'node:child_process';
import { closeSync, existsSync, fstatSync, mkdirSync, openSync, readSync, rmSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';

const KILL_AFTER_MS = [4000, 3000];
const POLL_MS = 40;
/** A board of this size takes a while. */
const QUEENS = process.argv[2] ?? '14';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const launcher = join(root, 'bin', 'perdure.mjs');
const space = join(root, '.perdure', 'start');
const output = join(root, '.perdure', 'start.txt');
const bold = process.stdout.isTTY ? (text) => `\x1b[1m${text}\x1b[0m` : (text) => text;
const say = (text) => process.stdout.write(`${bold(`── ${text}`)}\n`);

/** Prints what is added to the output file until stopped; remembers it all. */
class Follower {
  text = '';
  #fd = openSync(output, 'r');
  #at = 0;
  #decoder = new TextDecoder();

  constructor(skip) {
    this.#at = skip ? fstatSync(this.#fd).size : 0;
    if (skip) this.text = this.#decoder.decode(this.#bytes(0, this.#at), { stream: true });
    this.timer = setInterval(() => this.poll(), POLL_MS);
  }

  poll() {
    const size = fstatSync(this.#fd).size;
    if (size <= this.#at) return;
    const added = this.#decoder.decode(this.#bytes(this.#at, size), { stream: true });
    this.#at = size;
    this.text += added;
    process.stdout.write(added);
  }

  close() {
    clearInterval(this.timer);
    this.poll();
    closeSync(this.#fd);
  }

  #bytes(from, to) {
    const bytes = new Uint8Array(to - from);
    readSync(this.#fd, bytes, 0, bytes.length, from);
    return bytes;
  }
}

/** Starts `perdure ARGUMENTS` with its output to the file. */
function perdure(args) {
  const fd = openSync(output, 'a');
  const child = spawn(process.execPath, [launcher, ...args], { stdio: ['ignore', fd, 'inherit'] });
  closeSync(fd);
  const ended = new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('exit', (code, signal) => resolve({ code, signal }));
  });
  return { child, ended };
}

/** What `perdure ps --json` says. */
async function programs() {
  if (!existsSync(join(space, 'perdure.json'))) return [];
  const child = spawn(process.execPath, [launcher, 'ps', '--json', '--space', space], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let text = '';
  child.stdout.on('data', (bytes) => {
    text += bytes;
  });
  await new Promise((resolve) => child.on('close', resolve));
  return JSON.parse(text || '[]');
}

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

async function main() {
  const { guest } = await import('../guests/build.ts');
  const program = await guest('queens');
  const shown = relative(process.cwd(), program);
  const suspended = (await programs()).some((domain) => domain.state !== 'exited');
  mkdirSync(dirname(output), { recursive: true });
  if (!suspended) {
    rmSync(space, { recursive: true, force: true });
    rmSync(output, { force: true });
  }
  closeSync(openSync(output, 'a'));
  const follower = new Follower(suspended);
  let interrupted = false;
  process.on('SIGINT', () => {
    interrupted = true;
  });

  const up = ['up', '--exit-when-idle', '--quiet', '--space', space];
  const run = ['run', '--quiet', '--space', space, '--name', 'queens', program, QUEENS];
  if (suspended) say(`it was suspended in the middle; going on:  perdure up`);
  else say(`perdure run ${shown} ${QUEENS}     (an unmodified WASI program, made by AssemblyScript)`);
  let { child, ended } = perdure(suspended ? up : run);
  for (const ms of suspended ? [] : KILL_AFTER_MS) {
    if (await Promise.race([ended.then(() => true), pause(ms).then(() => false)])) break;
    child.kill('SIGKILL');
    await ended;
    follower.poll();
    say(`kill -9 ${child.pid}     the process is gone, its memory with it`);
    await pause(1200);
    if (interrupted) break;
    say('perdure up     the program goes on from the instruction where it was, call stack included');
    ({ child, ended } = perdure(up));
  }
  const { code } = await ended;
  follower.close();
  if (interrupted) {
    say('suspended; npm start goes on');
    return 130;
  }
  const lines = [...follower.text.matchAll(/^ *(\d+):/gm)].map((match) => Number(match[1]));
  const gap = lines.findIndex((line, index) => line !== index + 1);
  if (code !== 0 || gap >= 0 || lines.length === 0) {
    say(gap >= 0 ? `line ${gap + 1} is not as it should be` : `ended with exit code ${code}`);
    return 1;
  }
  say(`${lines.length} lines, none lost, none twice; they are in ${relative(process.cwd(), output)}`);
  return 0;
}

process.exitCode = await main();
