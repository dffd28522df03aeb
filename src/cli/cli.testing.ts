/** For tests of the tool as users see it: the real launcher, in processes of its own, on spaces of its own. */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';

export const LAUNCHER = join(import.meta.dirname, '..', '..', 'bin', 'perdure.mjs');

export interface Result {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface Started {
  readonly child: ChildProcess;
  readonly ended: Promise<Result>;
  /** Resolves when standard output (or error) matches. Rejects when the process ends before. */
  saw(pattern: RegExp, stream?: 'stdout' | 'stderr'): Promise<void>;
  readonly stdout: string;
}

export class Tool {
  readonly folder: string;
  readonly space: string;
  readonly #children = new Set<ChildProcess>();

  constructor(t: TestContext) {
    this.folder = mkdtempSync(join(tmpdir(), 'perdure-cli-'));
    this.space = join(this.folder, 'space');
    t.after(async () => {
      for (const child of this.#children) child.kill('SIGKILL');
      // A background owner, if one is left.
      await this.run('stop', '--quiet').catch(() => {});
      rmSync(this.folder, { recursive: true, force: true });
    });
  }

  start(
    args: readonly string[],
    options: { input?: string; env?: Record<string, string>; stdio?: 'pipe' } = {},
  ): Started {
    const child = spawn(process.execPath, [LAUNCHER, ...args], {
      cwd: this.folder,
      env: { ...process.env, PERDURE_SPACE: this.space, NO_COLOR: '1', ...options.env },
    });
    this.#children.add(child);
    let stdout = '';
    let stderr = '';
    let look = () => {};
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      stdout += text;
      look();
    });
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      stderr += text;
      look();
    });
    if (options.input !== undefined) child.stdin.end(options.input);
    child.stdin.on('error', () => {});
    const ended = new Promise<Result>((resolve) => {
      child.on('close', (code, signal) => {
        this.#children.delete(child);
        resolve({ code, signal, stdout, stderr });
      });
    });
    const saw = (pattern: RegExp, stream: 'stdout' | 'stderr' = 'stdout') =>
      new Promise<void>((resolve, reject) => {
        look = () => {
          if (pattern.test(stream === 'stdout' ? stdout : stderr)) resolve();
        };
        look();
        void ended.then(() => reject(new Error(`ended without ${pattern}: ${stdout}\n${stderr}`)));
      });
    return {
      child,
      ended,
      saw,
      get stdout() {
        return stdout;
      },
    };
  }

  run(...args: string[]): Promise<Result> {
    return this.start(args, { input: '' }).ended;
  }
}
