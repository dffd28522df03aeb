/**
 * What gates and the trampoline hand to each other while an activation runs. All of it is of the moment: between slices it
 * lies in the activation's record. Numbers that the short way of gates looks at are the switchboard's.
 */
import type { Activation } from './activations.ts';
import { WORD } from './board-code.ts';
import type { Boards } from './boards.ts';
import type { Visit } from './visit.ts';

export class Passage {
  readonly #boards: Boards;
  /** Visits that the unwinding now going on has left, innermost first. */
  readonly left: Visit[] = [];
  /** The activation is to end now, by its own call. */
  quits = false;

  constructor(boards: Boards) {
    this.#boards = boards;
  }

  /** Visits of the activation that runs: saved ones, and those on the native stack. */
  get depth(): number {
    return this.#boards.get(WORD.depth);
  }
  set depth(value: number) {
    this.#boards.set(WORD.depth, value);
  }
  /** How the last call through a gate ended: 0, or an errno. */
  get error(): number {
    return this.#boards.get(WORD.error);
  }
  set error(value: number) {
    this.#boards.set(WORD.error, value);
  }
  /** The innermost call has ended, and the code that made it makes it again to be told. */
  get answered(): boolean {
    return this.#boards.get(WORD.answered) !== 0;
  }
  set answered(value: boolean) {
    this.#boards.set(WORD.answered, value ? 1 : 0);
  }

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
