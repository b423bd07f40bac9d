import type { AuditRule } from '../rule.ts';
import { baseRules } from './bases.ts';
import { coverageRules } from './coverage.ts';
import { dependencyRules } from './dependencies.ts';
import { downloadRules } from './downloads.ts';
import { lineageRules } from './lineage.ts';
import { nameRules } from './names.ts';
import { privilegeRules } from './privileges.ts';
import { repositoryRules } from './repositories.ts';
import { secretRules } from './secrets.ts';
import { transportRules } from './transport.ts';

/** Every rule of the audit, by id. */
export const auditRules: readonly AuditRule[] = [
  ...baseRules,
  ...nameRules,
  ...downloadRules,
  ...transportRules,
  ...repositoryRules,
  ...dependencyRules,
  ...secretRules,
  ...privilegeRules,
  ...lineageRules,
  ...coverageRules,
].sort((a, b) => (a.id < b.id ? -1 : 1));
