import type { Finding } from '../../audit/types.ts';
import type { LineageEdge, ProvenanceClaim } from '../../lineage/types.ts';
import { counted, countedBySeverity, EDGE_WORDS, type ImageView, type ReportView } from '../report-view.ts';
import { dockerfileListing, excerptListing } from './dockerfile-listing.ts';
import { gradeTone } from './lineage-picture.ts';
import { type Content, linkTo, type Markup, markup } from './markup.ts';
import { chip, code, imageLink, pairs, section, severityChip } from './parts.ts';

/** Findings, under the image whose Dockerfile must change. */
export function findingsSection({ findingGroups, strayFindings }: ReportView): Content {
  if (findingGroups.length === 0 && strayFindings.length === 0) return undefined;
  return section('findings', 'Findings, by the image that must fix them', [
    findingGroups.map(
      (
        image,
      ) => markup`<div class="card long"><h3 class="title"><a href="#image-${image.number}"><bdi>${image.name}</bdi></a> <span class="soft">${countedBySeverity(image.findings)}</span></h3>
${sourceLine(image)}<ul class="plain rows">${image.findings.map((finding) => findingRow(finding, image))}</ul></div>`,
    ),
    strayFindings.length === 0
      ? undefined
      : markup`<div class="card long"><h3>Other images</h3><ul class="plain rows">${strayFindings.map((finding) => findingRow(finding))}</ul></div>`,
  ]);
}

function findingRow(finding: Finding, image?: ImageView): Markup {
  const { severity, rule, title, message, remediation, lines } = finding;
  const path = image?.node.dockerfile.location?.path ?? 'Dockerfile';
  const url = image?.node.dockerfile.url;
  const at = lines === undefined ? undefined : `${path}:${lines.startLine}`;
  const address = url === undefined || lines === undefined ? url : `${url}#L${lines.startLine}`;
  return markup`<li><div>${severityChip(severity)}</div><div>
<p><b>${title}</b> <span class="soft">${rule}</span></p><p><bdi>${message}</bdi></p>
${remediation === undefined ? undefined : markup`<p class="fix"><b>What to do:</b> <bdi>${remediation}</bdi></p>`}
${at === undefined ? undefined : markup`<p class="soft">${linkTo(address, at)}</p>`}${excerptListing(finding)}</div></li>`;
}

function sourceLine({ node }: ImageView): Content {
  const { location } = node.dockerfile;
  if (location === undefined) return undefined;
  return markup`<p class="soft">${linkTo(location.repository, location.repository)} at ${code(location.commit.slice(0, 12))}</p>`;
}

/** One section for each image: what it is, where it came from, its Dockerfile. */
export function imagesSection(view: ReportView): Content {
  return section(
    'images',
    'The images, one by one',
    view.images.map((image) => imageCard(image, view)),
  );
}

function imageCard(image: ImageView, view: ReportView): Markup {
  const { node, number, name, role, findings, conflicts, parents } = image;
  const what =
    role === undefined ? (number === 1 ? 'the image asked about' : 'linked to nothing') : ROLE_WORDS[role];
  return markup`<article class="card long" id="image-${number}" aria-labelledby="image-${number}-name">
<h3 class="title" id="image-${number}-name"><span><span class="number-badge">${number}</span><bdi>${name}</bdi></span> <span class="soft">${what}</span></h3>
${pairs([
  [
    'Built on',
    parents.length === 0
      ? role === 'frontend' && node.end === undefined
        ? undefined
        : endWords(node.end)
      : parents.map((edge) => edgeItem(edge, view)),
  ],
  ['Source', role === 'frontend' && node.dockerfile.location === undefined ? undefined : sourceOf(image)],
  [
    'Manifest',
    node.image === undefined
      ? role === 'frontend'
        ? 'not asked for'
        : 'no registry showed it'
      : code(node.image.manifest.digest),
  ],
  ['Index', node.image?.index === undefined ? undefined : code(node.image.index.digest)],
  ['Image id', node.image === undefined ? undefined : code(node.image.config.digest)],
  ['Layers', node.image === undefined ? undefined : String(node.image.diffIds.length)],
  ['Created', node.image?.created],
  [
    'Platform',
    [node.platform.os, node.platform.architecture, node.platform.variant].filter(Boolean).join('/'),
  ],
])}
${conflicts.map(
  ({ about, statements }) =>
    markup`<h4>${chip('conflict', 'bad')} Sources disagree about its ${about}</h4><ul>${statements.map(
      ({ kind, value, foundAt }) =>
        markup`<li><bdi>${value}</bdi> <span class="soft">says ${linkTo(foundAt, kind)}</span></li>`,
    )}</ul>`,
)}
${node.claims.length === 0 ? undefined : markup`<details${openWhen(conflicts.length > 0)}><summary>${counted(node.claims.length, 'claim')} about where it came from</summary><ul>${node.claims.map(claimItem)}</ul></details>`}
${
  node.dockerfile.text === undefined
    ? undefined
    : markup`<details${openWhen(findings.length > 0 || node.dockerfile.consistency === 'inconsistent')}><summary>Dockerfile${findings.length === 0 ? '' : ` with ${counted(findings.length, 'finding')}`}</summary>${dockerfileListing(image)}</details>`
}</article>`;
}

const ROLE_WORDS = {
  base: 'base image',
  stage: 'base of a build stage',
  'copy-from': 'files are copied from it',
  'mount-from': 'mounted during the build',
  frontend: 'reads the Dockerfile',
} as const;

/** The attribute that opens a `details`. */
function openWhen(open: boolean): Content {
  return open ? markup` open` : undefined;
}

function endWords(end: ImageView['node']['end']): string {
  const words = {
    scratch: 'nothing: built from scratch',
    'rootfs-import': 'a root filesystem, imported as it is',
    unresolved: 'a base that could not be resolved',
    cycle: 'itself: its bases lead back here',
    'depth-limit': 'not followed further: the depth limit was reached',
    open: 'unknown',
  } as const;
  return words[end ?? 'open'];
}

function edgeItem(edge: LineageEdge, view: ReportView): Markup {
  const { kind, name, line, to, grade, evidence } = edge;
  return markup`<div>${kind === 'base' ? undefined : `${EDGE_WORDS[kind]} `}${imageLink(view, to)} ${chip(grade, gradeTone(grade))}${line === undefined ? undefined : markup` <span class="soft">written ${code(name)} on line ${line}</span>`}<ul>${evidence.map(
    ({ kind: source, verdict, message, foundAt }) =>
      markup`<li>${verdict === 'refutes' ? chip('refutes', 'bad') : verdict === 'supports' ? chip('supports', 'good') : chip('neutral', 'none')} <bdi>${message}</bdi> <span class="soft">${linkTo(foundAt, source)}</span></li>`,
  )}</ul></div>`;
}

function sourceOf({ node: { dockerfile } }: ImageView): Content {
  const { location, status, url, reachability, consistency, digest, layout } = dockerfile;
  const words = {
    found: undefined,
    imported: [chip('an OCI layout, no Dockerfile', 'none'), ' ', layoutChip(layout)],
    'commit-unreachable': chip('commit gone', 'bad'),
    'file-missing': chip('file missing', 'bad'),
    'host-unreachable': chip('host did not answer', 'warn'),
    'not-named': chip('no source names a Dockerfile', 'bad'),
  };
  const reach = {
    reachable: chip('in a branch or tag', 'good'),
    unreachable: chip('in no branch or tag', 'bad'),
    unchecked: chip('reachability not checked', 'warn'),
  };
  const fits = {
    consistent: chip('fits the image history', 'good'),
    inconsistent: chip('does not fit the image history', 'bad'),
    unchecked: chip('not held against the history', 'none'),
  };
  return [
    location === undefined
      ? undefined
      : markup`<div>${linkTo(location.repository, location.repository)}<br>commit ${code(location.commit)}<br>${linkTo(url, location.path)}</div>`,
    markup`<div>${words[status]}${status === 'found' ? [reach[reachability], ' ', fits[consistency]] : status === 'imported' ? [' ', reach[reachability]] : undefined}</div>`,
    digest === undefined
      ? undefined
      : markup`<div class="soft">${status === 'imported' ? 'index' : 'Dockerfile'} ${code(digest)}</div>`,
  ];
}

function layoutChip(layout: ImageView['node']['dockerfile']['layout']): Content {
  if (layout === undefined) return chip('layout not held against the image', 'warn');
  const words = {
    manifest: 'is the image',
    config: 'is the image but for annotations',
    content: 'has the same content',
  };
  const { match, difference = 'another image' } = layout;
  return match === 'none'
    ? chip(`not the image: ${difference}`, 'bad')
    : chip(`layout ${words[match]}`, 'good');
}

function claimItem({ kind, foundAt, location, base, heuristic, asOf, note }: ProvenanceClaim): Markup {
  const source =
    location === undefined
      ? undefined
      : `${location.repository}@${location.commit.slice(0, 12)} ${location.path}`;
  return markup`<li>${linkTo(foundAt, kind)}${heuristic ? markup` ${chip('a guess', 'none')}` : undefined}${source === undefined ? undefined : markup`: ${code(source)}`}${base === undefined ? undefined : markup`, base ${code(base.reference)}`}${asOf === undefined ? undefined : markup` <span class="soft">as of ${asOf}</span>`}${note === undefined ? undefined : markup` <span class="soft"><bdi>${note}</bdi></span>`}</li>`;
}
