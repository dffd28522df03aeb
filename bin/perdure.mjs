#!/usr/bin/env node
/**
 * The launcher: plain JavaScript that any Node since 12 can read. It finds a Node that is new enough and runs the
 * tool with it: this very Node, or the one of the npm package `node` installed beside us. From a checkout it runs
 * `src/*.ts`, from an installed package `dist/*.js`. Never put anything else here: it must not fail on old Nodes.
 */
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

const NEEDED = 26;
const HANDED_ON = ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT'];
/** What the tool answers when it fails itself, as against the program it runs. */
const OWN_FAILURE = 125;

const root = dirname(dirname(fileURLToPath(import.meta.url)));

/** The binary of the npm package `node` in the nearest node_modules, or undefined. */
function nodeBeside() {
  const name = process.platform === 'win32' ? 'node.exe' : 'node';
  for (let folder = root; ; folder = dirname(folder)) {
    const binary = join(folder, 'node_modules', 'node', 'bin', name);
    if (existsSync(binary)) return binary;
    if (dirname(folder) === folder) return undefined;
  }
}

function fail(message) {
  console.error(`perdure: ${message}`);
  process.exitCode = OWN_FAILURE;
}

/**
 * Runs the tool in a newer Node. Old Nodes cannot replace themselves by another program, so this process stays as its
 * parent: it hands on signals, passes the exit code through, and takes the child with it when it is killed (the child
 * watches the channel).
 */
function runWith(binary) {
  const child = spawn(binary, [fileURLToPath(import.meta.url), ...process.argv.slice(2)], {
    stdio: ['inherit', 'inherit', 'inherit', 'ipc'],
    env: Object.assign({}, process.env, { PERDURE_LAUNCHED: '1' }),
  });
  for (const name of HANDED_ON) {
    process.on(name, () => {
      if (child.connected) child.send({ signal: name });
    });
  }
  child.on('error', (error) => fail(`cannot start ${binary}: ${error.message}`));
  child.on('exit', (code, signal) => {
    if (signal === null) process.exit(code);
    for (const name of HANDED_ON) process.removeAllListeners(name);
    process.kill(process.pid, signal);
  });
}

function runHere() {
  const source = join(root, 'src', 'cli', 'main.ts');
  const entry = existsSync(source) ? source : join(root, 'dist', 'cli', 'main.js');
  import(pathToFileURL(entry).href)
    .then((tool) => tool.main(process.argv.slice(2)))
    .catch((error) => {
      console.error(error);
      process.exitCode = OWN_FAILURE;
    });
}

const found = process.versions.node;
if (Number(found.split('.')[0]) >= NEEDED) {
  runHere();
} else {
  const binary = process.env.PERDURE_LAUNCHED === '1' ? undefined : nodeBeside();
  if (binary !== undefined) runWith(binary);
  else
    fail(
      `needs Node ${NEEDED} or later, and this is ${found}: get it from https://nodejs.org, or beside perdure with \`npm install node@${NEEDED}\``,
    );
}
