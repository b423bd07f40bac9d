import type { Policy } from './types.ts';

/**
 * The policy used when none is given: for a company that runs only what it has read, rebuilt and compared.
 * The reason for each rule is in docs/concepts/policy.md.
 */
export const defaultPolicy: Policy = {
  apiVersion: 'imagevet/v1',
  kind: 'Policy',
  name: 'default',
  default: 'deny',
  rules: [
    { rule: 'lineage.complete' },
    { rule: 'lineage.min-grade', grade: 'claimed' },
    { rule: 'lineage.consistent' },
    { rule: 'source.available' },
    { rule: 'audit.max-severity', deny: 'high' },
    { rule: 'rebuild.complete' },
    { rule: 'rebuild.frontends', allow: ['docker.io/docker/dockerfile'] },
    { rule: 'compare.min-grade', grade: 'explained' },
  ],
};
