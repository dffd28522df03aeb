/** `perdure call`: a procedure of a program, called from a shell. */
import { ERRNO, errnoText } from '../abi/errno.ts';
import type { Parsed } from './args.ts';
import { withSpace } from './offline.ts';
import { clean, sayFailed } from './output.ts';
import { type CallAnswer, type DomainSummary, EXIT } from './types.ts';
import { resultPlain, resultText } from './written.ts';

/** Prints what the procedure gives, when it is durable. The exit code of a program that ended in the call is ours. */
export async function runCall(parsed: Parsed): Promise<number> {
  const [name, procedure, ...words] = parsed.positionals as [string, string, ...string[]];
  const values = words.map((written) => ({ written }));
  return withSpace(parsed, 'run', async (space) => {
    const answer = await space.call(name, procedure, values);
    if (answer.errno === 0) {
      process.stdout.write(resultsText(answer, parsed.flags.has('json')));
      return 0;
    }
    const callee = (await space.list()).find((domain) => domain.name === name);
    return failed(`${name}: ${procedure}`, answer.errno, callee);
  });
}

function resultsText({ values }: CallAnswer, json: boolean): string {
  if (json) return `${JSON.stringify(values.map(resultPlain))}\n`;
  return values.map((value) => `${resultText(value)}\n`).join('');
}

function failed(what: string, errno: number, callee: DomainSummary | undefined): number {
  if (callee?.state !== 'exited') {
    sayFailed(`${what}: ${errnoText(errno)}`, errno === ERRNO.STOPPED ? 'perdure up lets it go on' : '');
    return EXIT.own;
  }
  const reason = callee.reason?.split('\n')[0] ?? `it ended with exit code ${callee.exitCode}`;
  sayFailed(`${what}: ${reason}`, `see perdure inspect ${clean(callee.name)}`);
  return callee.exitCode || EXIT.own;
}
