/** Words that tags of official images are made of; in the name of an image they say that a tag was meant, or is imitated. */
export const variantWords: ReadonlySet<string> = new Set(
  `
  alpine apache bookworm bullseye buster cli debian docker enterprise fpm full hub image images io jammy jdk jessie jre latest
  library lts minimal noble nonroot official oss plugin pro server slim stable stretch trixie ubuntu ubi web zts
`
    .trim()
    .split(/\s+/),
);
