/** A thread that compiles or verifies shares of a program for an installer; see helpers.ts. */
import { parentPort } from 'node:worker_threads';
import { compileShare } from '../compiler/index.ts';
import { verify } from '../verifier/verify.ts';
import { packError } from './failure.ts';
import { COMPILED } from './forms.ts';
import type { HelperAnswer, HelperTask } from './messages.ts';

function answer(task: HelperTask): HelperAnswer {
  try {
    const { bytes, part, of } = task;
    if (task.kind === 'compile') {
      return { kind: 'compiled', share: compileShare(bytes, COMPILED[task.form], part, of) };
    }
    verify(bytes, { part, of });
    return { kind: 'verified' };
  } catch (error) {
    return { kind: 'failed', error: packError(error) };
  }
}

parentPort?.on('message', (task: HelperTask) => {
  const said = answer(task);
  const transfer = said.kind === 'compiled' ? [said.share.code.buffer] : [];
  parentPort?.postMessage(said, transfer);
});
