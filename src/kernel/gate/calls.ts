/**
 * What programs import from the kernel about gates and activations (abi/objects.ts):
 *
 * - `gate_error() -> i32`: how the caller's last call through a gate ended: 0 for results, else an errno. Results are zero
 *   then. A program that does not import this traps where such a call fails.
 * - `activation_end() -> i32`: ends the activation, and leaves the domain, which can still be called. Does not return; INVAL
 *   in a call from another domain, which can only return.
 */
import { ERRNO } from '../../abi/errno.ts';
import type { KernelCalls } from '../calls.ts';
import type { Core } from '../core.ts';

export function gateCalls(core: Core): KernelCalls {
  return {
    gate_error: { type: '=i', call: () => core.passage.error },
    activation_end: {
      type: '=i',
      call: () => {
        if (core.passage.depth > 1) return -ERRNO.INVAL;
        core.passage.quits = true;
        throw core.unwind;
      },
    },
  };
}
