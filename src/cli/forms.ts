/** The forms in which a program is compiled (kernel/program.ts), and which of them a domain runs. */
import { ALONE, type CompileOptions, FULL } from '../compiler/index.ts';
import type { ProgramForm } from '../kernel/program.ts';
import type { DomainSummary, Isolation } from './types.ts';

/** What each form is compiled with. */
export const COMPILED: Readonly<Record<ProgramForm, CompileOptions>> = {
  space: FULL,
  windows: { ...FULL, windows: true },
  process: ALONE,
};

export const FORMS = Object.keys(COMPILED) as ProgramForm[];

/** How a loaded program is found again. */
export const programKey = (hash: string, form: ProgramForm): string => `${hash} ${form}`;

/** What a domain runs. Records of older spaces say less. */
export const formOfDomain = ({ isolation, windows }: DomainSummary): ProgramForm =>
  isolation === 'process' ? 'process' : windows === true ? 'windows' : 'space';

/** What is needed to run in a place, with memory that is mapped for it or not. */
export const formFor = (isolation: Isolation, mapped: boolean): ProgramForm =>
  isolation === 'process' ? 'process' : mapped ? 'windows' : 'space';
