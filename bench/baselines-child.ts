/** The other side of baselines.ts: a worker thread, or a process at two pipes, that looks at what it gets and says so. */
import { parentPort } from 'node:worker_threads';

/** One byte of each page. */
function look(bytes: Uint8Array): number {
  let sum = 0;
  for (let i = 0; i < bytes.length; i += 4096) sum += bytes[i]!;
  return sum;
}

function beWorker(): void {
  const port = parentPort!;
  port.on(
    'message',
    (message: { buffer?: ArrayBuffer; back?: boolean; words?: Int32Array; count?: number }) => {
      const { buffer, back, words, count = 0 } = message;
      if (buffer !== undefined) {
        const seen = look(new Uint8Array(buffer));
        if (back) port.postMessage({ seen, buffer }, [buffer]);
        else port.postMessage({ seen });
      } else if (words !== undefined) {
        for (let i = 1; i <= count; i++) {
          while (Atomics.load(words, 0) !== i) Atomics.wait(words, 0, i - 1);
          Atomics.store(words, 1, i);
          Atomics.notify(words, 1);
        }
        port.postMessage({});
      }
    },
  );
  port.postMessage({});
}

/** Messages: u32 length, then so many bytes; each is answered with one byte. */
async function beProcess(): Promise<void> {
  let [header, headerBytes, left, sum] = [0, 0, 0, 0];
  for await (const chunk of process.stdin as AsyncIterable<Buffer>) {
    let [at, answers] = [0, 0];
    while (at < chunk.length) {
      if (headerBytes < 4) {
        header += chunk[at++]! * 2 ** (8 * headerBytes);
        if (++headerBytes === 4) left = header;
        continue;
      }
      const piece = Math.min(left, chunk.length - at);
      sum += look(chunk.subarray(at, at + piece));
      at += piece;
      left -= piece;
      if (left > 0) continue;
      answers++;
      [header, headerBytes] = [0, 0];
    }
    if (answers > 0) process.stdout.write(Buffer.alloc(answers, sum));
  }
}

if (parentPort === null) await beProcess();
else beWorker();
