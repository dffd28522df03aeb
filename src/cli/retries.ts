/** How long until what the disk refused is tried again: ever more seldom, and soon when somebody waits for the end. Milliseconds. */
const RETRY_MS = 1000;
const RETRY_MOST_MS = 30_000;

/** Until the next try, the `tried`th but one; not much longer than one step from when `hurry` says so. */
export async function pause(tried: number, hurry: () => boolean): Promise<void> {
  const until = performance.now() + Math.min(RETRY_MS * 2 ** tried, RETRY_MOST_MS);
  do await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
  while (performance.now() < until && !hurry());
}
