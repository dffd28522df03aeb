/** The personality for WASI programs. Import from here. */
export { type Grant, homeName, homeOf } from './grants.ts';
export type { DescriptorImage, NodeImage, StateImage } from './image.ts';
export { type StateOptions, UNSTABLE_MODULE, WASI_MODULE, WasiPersonality } from './personality.ts';
export { FUNCTION_NAMES, hasSignature } from './signatures.ts';
