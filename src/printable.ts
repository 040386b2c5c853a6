/** What others wrote, made safe for a terminal. Pure. */

/** Text of a server or client without what would steer a terminal; colours go too. */
export const printable = (text: string): string =>
  // oxlint-disable-next-line no-control-regex -- control characters are what it takes out
  text.replace(/\x1b\[[0-9;]*m/g, "").replace(/[\x00-\x08\x0b-\x1f\x7f-\x9f]/g, "")
