import { type Fetcher, resolveImage } from '@imagevet/registry';
import type { DoubleBuilderOptions } from '../rebuild/double-build.ts';
import { compareImages } from './compare-images.ts';
import { isAtLeast } from './grades.ts';
import type { Comparison, ComparisonGrade } from './types.ts';

/**
 * Says how two builds of one image differ when they are not equal at least this well, for {@link doubleBuilder}.
 *
 * @param source - the registry both builds were pushed to
 */
export function disagreementBelow(
  grade: ComparisonGrade,
  source: Fetcher,
): NonNullable<DoubleBuilderOptions['disagreement']> {
  return async (first, second, { signal }) => {
    const [one, other] = await Promise.all(
      [first, second].map(({ reference }) =>
        resolveImage({ ...reference, tag: undefined }, { source, signal }),
      ),
    );
    const comparison = await compareImages(one!, other!, {
      originalSource: source,
      rebuiltSource: source,
      signal,
    });
    return isAtLeast(comparison.grade, grade) ? undefined : describe(comparison);
  };
}

function describe({ grade, differences, config }: Comparison): string {
  const [file] = differences.filter(({ explanation }) => explanation === undefined);
  const [field] = config.filter(({ explanation }) => explanation === undefined);
  const what = file === undefined ? field && `config field ${field.field}` : `${file.path} (${file.change})`;
  return `they are only ${grade}${what === undefined ? '' : `: ${what}`}`;
}
