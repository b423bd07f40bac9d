/** Where an index finds something: in which package, and at which place of its list. */
export interface IndexRecord {
  /** What is found, with the name or tag of the index where a file has several. */
  readonly key: string;
  readonly number: number;
  readonly position: number;
}
