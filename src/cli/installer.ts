/**
 * The thread that installs programs: rewrites, verifies, and lets V8 compile, so that neither the owner nor running
 * programs wait for a large module. One program a thread; see `install.ts`. Compiler and verifier meet here and know
 * nothing of each other.
 */
import { parentPort, workerData } from 'node:worker_threads';
import { Compilation } from '../compiler/index.ts';
import { verify } from '../verifier/verify.ts';
import { packError } from './failure.ts';
import { COMPILED } from './forms.ts';
import { Helpers } from './helpers.ts';
import type { InstallerMessage, InstallerTask } from './messages.ts';

function say(message: InstallerMessage, transfer: ArrayBuffer[] = []): void {
  parentPort?.postMessage(message, transfer);
}

async function install({ original, form }: InstallerTask): Promise<void> {
  say({ kind: 'step', text: 'compiling' });
  const compilation = new Compilation(original, COMPILED[form]);
  await using helpers = new Helpers(compilation.codeBytes);
  const of = helpers.shares;
  const answers = await helpers.work(
    (part) => ({ kind: 'compile', bytes: original, form, part, of }),
    () => compilation.compile(of),
  );
  for (const answer of answers) if (answer.kind === 'compiled') compilation.place(answer.share);
  const { bytes } = compilation.finish();
  if (form === 'process') {
    // What keeps it in is its process: nothing of it is run here, nor made machine code.
    say({ kind: 'done', rewritten: bytes }, [bytes.buffer]);
    return;
  }
  say({ kind: 'step', text: 'verifying' });
  await helpers.work(
    (part) => ({ kind: 'verify', bytes, part, of }),
    () => verify(bytes, { part: 0, of }),
  );
  say({ kind: 'step', text: 'making machine code' });
  const program = new WebAssembly.Module(bytes);
  say({ kind: 'done', rewritten: bytes, program }, [bytes.buffer]);
}

try {
  await install(workerData as InstallerTask);
} catch (error) {
  say({ kind: 'failed', error: packError(error) });
}
