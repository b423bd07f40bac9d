import { familiarReference } from '@imagevet/registry';
import type {
  Comparison,
  ConfigDifference,
  DifferenceOrigin,
  FileDifference,
  PackageDifference,
} from '../../compare/types.ts';
import { placeOf } from '../place-of.ts';
import { counted, type ImageView, type ReportView } from '../report-view.ts';
import { type Content, type Markup, markup } from './markup.ts';
import { chip, code, comparisonChip, duration, imageLink, section, table } from './parts.ts';

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
<td data-label="Rebuilt image">${outcome?.status === 'built' ? code(familiarReference(outcome.image.reference)) : code(familiarReference(target))}</td>
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
    markup`<div class="card long">${engine}${table(['', 'Image', 'Result', 'Rebuilt image', 'Beside the original'], rows)}${logs}</div>`,
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
  const { grade, files, config, packages = [], unreadDatabases = [] } = comparison;
  const unread = unreadDatabases.map(
    ({ side, path, message }) =>
      markup`<p>${chip('not read', 'warn')} Packages of the ${side}, ${code(path)}: <bdi>${message}</bdi></p>`,
  );
  return markup`<div class="card long"><h3 class="title"><a href="#image-${number}"><bdi>${name}</bdi></a> ${comparisonChip(grade)}</h3>
<p class="soft">${counted(files.compared, 'file')} compared, ${files.equal} equal, ${files.timestampsOnly} differ in timestamps only</p>
${unread}${fileDifferences(comparison)}${subsection('Packages', PACKAGE_COLUMNS, packages.map(packageRow))}${subsection('Configuration', CONFIG_COLUMNS, config.map(configRow))}</div>`;
}

function fileDifferences({ differences, truncated }: Comparison): Content {
  if (differences.length === 0) return undefined;
  const shown = differences
    .toSorted((a, b) => Number(explained(a)) - Number(explained(b)))
    .slice(0, MAX_DIFFERENCES);
  const more = differences.length - shown.length;
  return [
    table(FILE_COLUMNS, shown.map(differenceRow)),
    more === 0 ? undefined : markup`<p>${counted(more, 'more difference')} not shown.</p>`,
    truncated ? markup`<p>The comparison stopped listing differences at its limit.</p>` : undefined,
  ];
}

const FILE_COLUMNS = ['Path', 'Change', 'Original', 'Rebuilt', 'Cause'] as const;
const PACKAGE_COLUMNS = ['Package', 'Original', 'Rebuilt'] as const;
const CONFIG_COLUMNS = ['Field', 'Original', 'Rebuilt', 'Cause'] as const;

function subsection(title: string, columns: readonly string[], rows: readonly Markup[]): Content {
  return rows.length === 0 ? undefined : markup`<h4>${title}</h4>${table(columns, rows)}`;
}

function differenceRow(difference: FileDifference): Markup {
  const { path, change, aspects, original, rebuilt, explanation, origin } = difference;
  return markup`<tr><th scope="row">${code(path)}${madeBy(origin)}</th><td data-label="Change">${change}${aspects.length === 0 ? '' : `: ${aspects.join(', ')}`}</td>
<td data-label="Original">${optionalCode(original)}</td><td data-label="Rebuilt">${optionalCode(rebuilt)}</td><td data-label="Cause">${cause(explanation)}</td></tr>`;
}

function packageRow({ manager, name, architecture, original, rebuilt, origin }: PackageDifference): Markup {
  return markup`<tr><th scope="row">${code(`${name}:${architecture}`)} <span class="soft">${manager}</span>${madeBy(origin)}</th>
<td data-label="Original">${optionalCode(original)}</td><td data-label="Rebuilt">${optionalCode(rebuilt)}</td></tr>`;
}

function configRow({ field, original, rebuilt, explanation, origin }: ConfigDifference): Markup {
  return markup`<tr><th scope="row">${code(field)}${madeBy(origin)}</th><td data-label="Original">${optionalCode(original)}</td>
<td data-label="Rebuilt">${optionalCode(rebuilt)}</td><td data-label="Cause">${cause(explanation)}</td></tr>`;
}

/** Which line of the Dockerfile it is from, when that is known. */
function madeBy(origin: DifferenceOrigin | undefined): Content {
  const where = placeOf(origin);
  return where === undefined ? undefined : markup` <span class="soft">${where}</span>`;
}

function cause(explanation: string | undefined): Markup {
  return explanation === undefined ? chip('unexplained', 'bad') : markup`<bdi>${explanation}</bdi>`;
}

function explained({ explanation }: FileDifference): boolean {
  return explanation !== undefined;
}

function optionalCode(text: string | undefined): Content {
  return text === undefined ? markup`<span class="soft">none</span>` : code(text);
}
