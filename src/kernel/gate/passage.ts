/**
 * What gates and the trampoline hand to each other while an activation runs. All of it is of the moment: between slices it
 * lies in the activation's record.
 */
import type { Activation } from './activations.ts';
import type { Visit } from './visit.ts';

export class Passage {
  /** Visits of the activation that runs: saved ones, and those on the native stack. */
  depth = 0;
  /** The innermost call has ended, and the code that made it makes it again to be told. */
  answered = false;
  /** How the last call through a gate ended: 0, or an errno. */
  error = 0;
  /** Visits that the unwinding now going on has left, innermost first. */
  readonly left: Visit[] = [];
  /** The activation is to end now, by its own call. */
  quits = false;

  begin(activation: Activation): void {
    this.quits = false;
    this.depth = activation.visits.length;
    this.answered = activation.answered;
    this.error = activation.gateError;
  }

  /** What must outlive the slice goes into the record. */
  end(activation: Activation): void {
    if (activation.alive && activation.gateError !== this.error) activation.gateError = this.error;
  }

  /** The native stack is empty: the visits that were on it are the activation's saved ones. */
  settle(activation: Activation): void {
    for (let visit = this.left.pop(); visit !== undefined; visit = this.left.pop()) activation.push(visit);
    this.depth = activation.visits.length;
  }

  answer(activation: Activation, errno: number, values: Uint8Array, askedFor = 0): void {
    activation.answer(errno, values, askedFor);
    this.answered = true;
  }
  takeAnswer(activation: Activation): void {
    activation.takeAnswer();
    this.answered = false;
  }
}
