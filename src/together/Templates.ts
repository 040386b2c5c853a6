/**
 * Whether a URI is one of a template's (RFC 6570), as far as it takes to tell servers apart: what stands between the
 * expressions has to be there, in order. Pure; linear in both, whatever a server writes.
 */

/** Whether `uri` may have been made of `template`. */
export const matches = (template: string, uri: string): boolean => {
  const [first = "", ...others] = literals(template)
  if (others.length === 0) return uri === first
  const last = others.pop()!
  if (!uri.startsWith(first)) return false
  const end = uri.length - last.length
  let at = first.length
  for (const literal of others) {
    const found = uri.indexOf(literal, at)
    if (found === -1) return false
    at = found + literal.length
  }
  return at <= end && uri.endsWith(last)
}

/** What stands between the expressions of a template. */
const literals = (template: string): Array<string> => {
  const found: Array<string> = []
  let at = 0
  for (;;) {
    const open = template.indexOf("{", at)
    const close = open === -1 ? -1 : template.indexOf("}", open)
    if (close === -1) return [...found, template.slice(at)]
    found.push(template.slice(at, open))
    at = close + 1
  }
}
