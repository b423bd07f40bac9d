import { join } from 'node:path';
import { expect, test } from 'vitest';
import { auditRules } from './index.ts';

test('auditRules have unique ids, in order, and say why and what to do', () => {
  const ids = auditRules.map(({ id }) => id);
  expect([...new Set(ids)].sort()).toEqual(ids);
  for (const rule of auditRules) {
    expect(rule.id).toMatch(/^VET\d{3}$/);
    for (const text of [rule.title, rule.rationale, rule.remediation])
      expect(text.length).toBeGreaterThan(10);
    expect(rule.title).not.toMatch(/\.$/);
  }
});

// `vitest run -u` writes the guide anew.
test('auditRules are what the guide says', async () => {
  const guide = join(import.meta.dirname, '../../../../../docs/guides/audit-rules.md');
  await expect(renderGuide()).toMatchFileSnapshot(guide);
});

function renderGuide(): string {
  const list = auditRules.map(
    ({ id, title, severity }) => `- [${id}](#${id.toLowerCase()}), ${severity}: ${title}`,
  );
  const sections = auditRules.map(({ id, title, severity, appliesTo, rationale, remediation }) =>
    [
      `### ${id}`,
      '',
      `**${title}.** Usual severity: ${severity}. Looks at ${appliesTo === 'dockerfile' ? 'the Dockerfile of each image' : 'the lineage'}.`,
      '',
      `${rationale}`,
      '',
      `What to do: ${remediation}`,
    ].join('\n'),
  );
  return `${INTRODUCTION}\n\n${list.join('\n')}\n\n## The rules\n\n${sections.join('\n\n')}\n`;
}

const INTRODUCTION = `# Audit rules

Which rules \`auditLineage\` and \`auditDockerfile\` apply, why, and what to do about a finding.

\`\`\`ts
import { auditLineage, type Lineage, renderSarif } from '@imagevet/core';

export function audit(lineage: Lineage): string {
  const findings = auditLineage(lineage, { disable: ['VET050'], now: new Date('2026-11-23') });
  for (const { rule, severity, node, lines, message } of findings) {
    console.log(\`\${severity} \${rule} \${node}:\${lines?.startLine ?? '-'} \${message}\`);
  }
  return renderSarif(lineage, findings);
}
\`\`\`

A finding names the image of the lineage whose Dockerfile must change, the line, and an id that stays the same when other
lines of the file change. A rule gives a finding another severity than its usual one where the case is worse or more
harmless. Ids are never reused.

How downloads are followed (VET010 to VET015): a file is known by its name from the command that fetches it, through
\`mv\` and \`cp\`, to the command that verifies it and the one that uses it, across the RUNs of a stage. Verification is
graded: none, weak hash, checksum from the same host, checksum, signature. Fetching the file again starts anew. RUN is
read as shell, with pipes, functions, loops and \`sh -c\` scripts; a RUN that cannot be read is a finding itself (VET080), and
so is an image without Dockerfile (VET081).`;
