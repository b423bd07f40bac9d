/** Longest name of common file systems, in bytes. */
export const MAX_NAME_BYTES = 255;

/**
 * Tells whether every common file system holds a name and none reads it as more than a name: Windows takes
 * backslashes, drive letters and streams (`:`) for structure, `CON` for a device, and drops trailing dots.
 *
 * @see Microsoft, "Naming Files, Paths, and Namespaces"
 */
export function isPortableName(name: string): boolean {
  return name.isWellFormed() && !RESERVED_CHARACTER.test(name) && !DEVICE_NAME.test(name);
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what Windows refuses.
const RESERVED_CHARACTER = /[\u0000-\u001f<>:"|?*\\]|[. ]$/;
const DEVICE_NAME = /^(?:con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³]|conin\$|conout\$) *(?:\.|$)/i;

/** Folds a name as far as any common file system does: two names that fold alike may be one file somewhere. */
export function foldName(name: string): string {
  if (PLAIN.test(name)) return name.toLowerCase();
  // Upper case first: it turns ß into SS, and the dotless and the long letters into plain ones.
  return name.replace(IGNORED, '').normalize('NFKD').toUpperCase().toLowerCase().normalize('NFKD');
}

const PLAIN = /^[\x21-\x7e]*$/;
const IGNORED = /\p{Default_Ignorable_Code_Point}/gu;
