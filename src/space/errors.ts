/**
 * What allocation in the space can fail with. Thrown before anything has changed, so a caller that catches it finds
 * everything as it was; a personality turns it into its errno for "no space" or "no memory".
 */

/** The space cannot grow further: its limit is reached, or the host gives no more memory. */
export class SpaceFullError extends Error {
  override name = 'SpaceFullError';
  readonly wantedBytes: number;
  constructor(wantedBytes: number) {
    super(`the space is full: no room for ${wantedBytes} bytes more`);
    this.wantedBytes = wantedBytes;
  }
}
