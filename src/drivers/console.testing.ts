/** What tests of the console share. */
import { TestMemory } from '../kernel/outbox-memory.testing.ts';
import { UNMETERED } from '../kernel/outbox-meter.ts';
import { ConsoleDriver } from './console.ts';
import { NO_LOG } from './release.ts';
import type { Sink } from './sink.ts';

export const tick = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** A console on a new memory, that tells nobody where it is; and what it woke. */
export function simple(prefix: 'auto' | 'never' = 'auto'): {
  driver: ConsoleDriver;
  memory: TestMemory;
  woken: number[];
} {
  const memory = new TestMemory();
  const woken: number[] = [];
  const driver = new ConsoleDriver({
    memory,
    root: memory.root(1),
    wake: (domain) => void woken.push(domain),
    meter: UNMETERED,
    log: NO_LOG,
    policy: 'at-least-once',
    prefix,
  });
  return { driver, memory, woken };
}

/** A terminal that takes all, and what it has taken. */
export function capture(): { sink: Sink; text: () => string } {
  const bytes: number[] = [];
  return {
    sink: { terminal: true, write: (piece) => bytes.push(...piece) && piece.length, close: () => {} },
    text: () => Buffer.from(bytes).toString('latin1'),
  };
}
