import { about, answer, type Failure, type RuleCheck } from '../rule.ts';

const WHAT = {
  PLATFORM_SOURCE_DIFFERS: { code: 'lineage.platform-source', what: 'come from different sources' },
  PLATFORM_BASES_DIFFER: { code: 'lineage.platform-bases', what: 'stand on different bases' },
} as const;

/** `lineage.platforms-agree` */
export const lineagePlatformsAgree: RuleCheck<{ readonly rule: 'lineage.platforms-agree' }> = {
  title: 'All platforms of the image are of one make',
  rationale:
    'A tag stands for one image on each platform. A decision about one of them says nothing of another that was made otherwise.',
  check: (_rule, view) => {
    const { divergences, lineage } = view.facts;
    const root = about(view, lineage.root);
    if (divergences === undefined) {
      const message = 'other platforms of the image were not looked at';
      const remediation = 'Ask for them: otherPlatforms.';
      return [{ outcome: 'error', code: 'lineage.platforms-not-compared', message, remediation, ...root }];
    }
    const failures = divergences.map(({ code, values }): Failure => {
      const said = Object.entries(values)
        .map(([value, platforms]) => `${[...platforms].sort().join(', ')}: ${value}`)
        .sort();
      const message = `its platforms ${WHAT[code].what}: ${said.join('; ')}`;
      return { outcome: 'fail', code: WHAT[code].code, message, ...root };
    });
    return answer(
      failures,
      'lineage.platforms-agree',
      'every platform comes from one source, on the same bases',
    );
  },
};
