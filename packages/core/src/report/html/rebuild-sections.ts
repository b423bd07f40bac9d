import type { Comparison, FileDifference } from '../../compare/types.ts';
import { counted, familiarName, type ImageView, type ReportView } from '../report-view.ts';
import { type Content, type Markup, markup } from './markup.ts';
import { chip, code, comparisonChip, duration, imageLink, section } from './parts.ts';

/** Most differences of one image written out. */
const MAX_DIFFERENCES = 200;

/** What was rebuilt, in the order it was built. */
export function rebuildSection(view: ReportView): Content {
  const { plan, rebuild } = view.report;
  if (plan === undefined) return undefined;
  const outcomes = new Map(rebuild?.outcomes.map((outcome) => [outcome.step, outcome]));
  const rows = plan.steps.map(({ id, target }, index) => {
    const outcome = outcomes.get(id);
    const comparison = view.image(id)?.comparison;
    return markup`<tr><td class="number" data-label="Order">${index + 1}</td><th scope="row">${imageLink(view, id)}</th>
<td data-label="Result">${statusOf(outcome)}</td>
<td data-label="Rebuilt image">${outcome?.status === 'built' ? code(familiarName(outcome.image.reference)) : code(familiarName(target))}</td>
<td data-label="Beside the original">${comparison === undefined ? 'not compared' : comparisonChip(comparison.grade)}</td></tr>`;
  });
  const logs = (rebuild?.outcomes ?? []).map((outcome) => {
    if (outcome.status === 'skipped') {
      return markup`<p>${imageLink(view, outcome.step)} was skipped: it needs ${outcome.blockedBy.map((id, index) => [index === 0 ? undefined : ', ', imageLink(view, id)])}.</p>`;
    }
    if (outcome.status === 'built') return undefined;
    const { step, code: failure, message, line, log } = outcome;
    return markup`<h4>${imageLink(view, step)} failed${line === undefined ? '' : ` at line ${line} of its Dockerfile`}</h4><p><bdi>${message}</bdi> <span class="soft">${failure}</span></p>${log.length === 0 ? undefined : markup`<pre class="log" tabindex="0">${log.join('\n')}</pre>`}`;
  });
  const engine =
    rebuild === undefined
      ? markup`<p>${chip('not run', 'warn')} The rebuild was planned, not run. This is what it would make:</p>`
      : markup`<p class="soft">Built with ${rebuild.engine.name} ${rebuild.engine.version}; plan ${code(plan.id)}</p>`;
  return section(
    'rebuild',
    'Rebuilt from source',
    markup`<div class="card long">${engine}<div class="scroll"><table class="stack"><thead><tr><th scope="col"></th><th scope="col">Image</th><th scope="col">Result</th><th scope="col">Rebuilt image</th><th scope="col">Beside the original</th></tr></thead><tbody>${rows}</tbody></table></div>${logs}</div>`,
  );
}

function statusOf(outcome: ImageView['outcome']): Content {
  if (outcome === undefined) return chip('not run', 'none');
  if (outcome.status === 'built')
    return [chip('built', 'good'), ' ', markup`<span class="soft">${duration(outcome.durationMs)}</span>`];
  return outcome.status === 'failed' ? chip('failed', 'bad') : chip('skipped', 'warn');
}

/** How the rebuilt images differ from the public ones. */
export function comparisonSection({ images }: ReportView): Content {
  const compared = images.filter(({ comparison }) => comparison !== undefined);
  if (compared.length === 0) return undefined;
  return section(
    'comparison',
    'Rebuilt beside original',
    compared.map(({ name, number, comparison }) => comparisonCard(name, number, comparison!)),
  );
}

function comparisonCard(name: string, number: number, comparison: Comparison): Markup {
  const { grade, files, differences, truncated, config } = comparison;
  const shown = differences
    .toSorted((a, b) => Number(explained(a)) - Number(explained(b)))
    .slice(0, MAX_DIFFERENCES);
  const more = differences.length - shown.length;
  const rest = [
    ...(more > 0 ? [`${counted(more, 'more difference')} not shown.`] : []),
    ...(truncated ? ['The comparison stopped counting differences at its limit.'] : []),
  ];
  return markup`<div class="card long"><h3 class="title"><a href="#image-${number}"><bdi>${name}</bdi></a> ${comparisonChip(grade)}</h3>
<p class="soft">${counted(files.compared, 'file')} compared, ${files.equal} equal, ${files.timestampsOnly} differ in timestamps only</p>
${
  shown.length === 0
    ? undefined
    : markup`<div class="scroll"><table class="stack"><thead><tr><th scope="col">Path</th><th scope="col">Change</th><th scope="col">Original</th><th scope="col">Rebuilt</th><th scope="col">Cause</th></tr></thead><tbody>${shown.map(differenceRow)}</tbody></table></div>`
}
${rest.length === 0 ? undefined : markup`<p>${rest.join(' ')}</p>`}
${
  config.length === 0
    ? undefined
    : markup`<h4>Configuration</h4><div class="scroll"><table class="stack"><thead><tr><th scope="col">Field</th><th scope="col">Original</th><th scope="col">Rebuilt</th></tr></thead><tbody>${config.map(
        ({ field, original, rebuilt }) =>
          markup`<tr><th scope="row">${code(field)}</th><td data-label="Original">${optionalCode(original)}</td><td data-label="Rebuilt">${optionalCode(rebuilt)}</td></tr>`,
      )}</tbody></table></div>`
}</div>`;
}

function differenceRow({ path, change, aspects, original, rebuilt, explanation }: FileDifference): Markup {
  return markup`<tr><th scope="row">${code(path)}</th><td data-label="Change">${change}${aspects.length === 0 ? '' : `: ${aspects.join(', ')}`}</td>
<td data-label="Original">${optionalCode(original)}</td><td data-label="Rebuilt">${optionalCode(rebuilt)}</td>
<td data-label="Cause">${explanation === undefined ? chip('unexplained', 'bad') : markup`<bdi>${explanation}</bdi>`}</td></tr>`;
}

function explained({ explanation }: FileDifference): boolean {
  return explanation !== undefined;
}

function optionalCode(text: string | undefined): Content {
  return text === undefined ? markup`<span class="soft">none</span>` : code(text);
}
