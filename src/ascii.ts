/** JSON text in ASCII, so that it may stand among the latin-1 text of lines. Pure. */
export const escaped = (text: string): string =>
  // oxlint-disable-next-line no-control-regex -- everything beyond ASCII, one UTF-16 unit at a time
  text.replace(/[^\u0000-\u007f]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`)
