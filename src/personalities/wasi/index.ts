/** The personality for WASI programs. Import from here. */
export type { DescriptorImage, NodeImage, StateImage } from './image.ts';
export { type Grant, homeOf, type StateOptions, WASI_MODULE, WasiPersonality } from './personality.ts';
export { FUNCTION_NAMES, hasSignature } from './signatures.ts';
