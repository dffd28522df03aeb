/** placeholder */
export { Host } from './cli/host.ts';
