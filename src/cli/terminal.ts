/** The standard streams of this process as the ends of a program that another process hosts. */
import type { FollowStreams } from './remote.ts';

export function terminalStreams(): FollowStreams {
  return {
    output(kind, bytes) {
      const stream = kind === 'stderr' ? process.stderr : process.stdout;
      return new Promise((resolve, reject) => {
        stream.write(bytes, (error) => (error ? reject(error) : resolve()));
      });
    },
    input(take) {
      const onData = (bytes: Uint8Array) => take(bytes);
      const onEnd = () => take(new Uint8Array(0));
      process.stdin.on('data', onData);
      process.stdin.on('end', onEnd);
      return () => {
        process.stdin.off('data', onData);
        process.stdin.off('end', onEnd);
        process.stdin.pause();
        // A terminal's pending read would keep the process.
        process.stdin.unref?.();
      };
    },
  };
}
