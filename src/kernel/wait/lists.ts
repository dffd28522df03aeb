/** Lists whose links are the items themselves, so that leaving one costs the same wherever it stands. */

export class Link<T extends Link<T>> {
  before: T | null = null;
  behind: T | null = null;
  /** The list it stands in. */
  list: LinkedList<T> | null = null;
}

export class LinkedList<T extends Link<T>> {
  first: T | null = null;
  last: T | null = null;
  length = 0;

  push(item: T): void {
    item.list = this;
    item.before = this.last;
    item.behind = null;
    if (this.last === null) this.first = item;
    else this.last.behind = item;
    this.last = item;
    this.length++;
  }

  remove(item: T): void {
    if (item.before === null) this.first = item.behind;
    else item.before.behind = item.behind;
    if (item.behind === null) this.last = item.before;
    else item.behind.before = item.before;
    item.list = null;
    this.length--;
  }
}
