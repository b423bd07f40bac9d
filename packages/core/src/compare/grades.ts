import type { ComparisonGrade } from './types.ts';

/** Best first. */
const GRADES: readonly ComparisonGrade[] = [
  'identical',
  'same-layers',
  'same-content',
  'same-packages',
  'explained',
  'unexplained',
];

/** Tells whether a grade is as good as another, or better. */
export function isAtLeast(grade: ComparisonGrade, wanted: ComparisonGrade): boolean {
  return GRADES.indexOf(grade) <= GRADES.indexOf(wanted);
}

/** The worse of two grades. */
export function worst(one: ComparisonGrade, other: ComparisonGrade): ComparisonGrade {
  return isAtLeast(one, other) ? other : one;
}
