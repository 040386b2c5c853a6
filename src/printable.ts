/** What others wrote, made safe for a terminal. Pure. */

/** Text of a server or client without what would steer a terminal or turn the direction of writing; colours go too. */
export const printable = (text: string): string =>
  // oxlint-disable-next-line no-control-regex -- control characters are what it takes out
  text.replace(/\x1b\[[0-9;]*m/g, "").replace(/[\x00-\x08\x0b-\x1f\x7f-\x9f\p{Bidi_Control}]/gu, "")

/**
 * Text on one line in which everything shows: what has no glyph, what changes the direction of writing, and spaces that
 * look like others stand there as `\u{200b}`.
 */
export const visible = (text: string): string =>
  text.replace(unseen, (found) =>
    found === "\t" ? "\\t" : found === "\r" ? "\\r" : `\\u{${found.codePointAt(0)!.toString(16)}}`
  )

/** Also letters that are drawn as nothing, such as tags, fillers and variation selectors. */
const unseen = /[\p{C}\p{Default_Ignorable_Code_Point}\p{Zl}\p{Zp}\u2800]|(?! )\p{Zs}/gu
