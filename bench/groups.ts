/**
 * What a group of benches is. It prints its table with `print` as it goes and gives its figures: numbers by name, in
 * objects by whatever structure fits, as they go into the JSON file under the group's name.
 */
export type Group = (
  args: readonly string[],
  print: (text: string) => void,
) => Promise<Record<string, unknown>>;
