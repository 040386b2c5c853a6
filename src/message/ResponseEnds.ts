/** What the beginning and the end of a response show, so that a long one need not be read. Pure. */

/**
 * A response from its beginning, up to its result; what serialisers put first is the version, the id, or both. The second
 * group is there where the result begins with `isError`.
 */
export const responseHead =
  /^\s*\{\s*(?:"jsonrpc"\s*:\s*"2\.0"\s*,\s*)?(?:"id"\s*:\s*(\d{1,15})\s*,\s*)?(?:"jsonrpc"\s*:\s*"2\.0"\s*,\s*)?"(?:result|error)"\s*:\s*(?=(\{\s*"isError"\s*:\s*true\b)?)/

/** A message that ends with its id, or with its id and the version. */
export const responseTail = /,\s*"id"\s*:\s*(\d{1,15})\s*(?:,\s*"jsonrpc"\s*:\s*"2\.0"\s*)?\}\s*$/

/** Whether the result of a response ends with `isError`, after which only id and version may stand. */
export const saysIsErrorLast = (pieces: ReadonlyArray<Buffer>): boolean => {
  const last = pieces[pieces.length - 1]!
  const end = last.toString("latin1", Math.max(0, last.length - 64))
  const before = end.length < 64 ? pieces[pieces.length - 2] : undefined
  return isErrorTail.test(before === undefined ? end : before.toString("latin1", Math.max(0, before.length - 64)) + end)
}

const isErrorTail =
  /"isError"\s*:\s*true\s*\}\s*(?:,\s*"id"\s*:\s*\d{1,15}\s*)?(?:,\s*"jsonrpc"\s*:\s*"2\.0"\s*)?(?:,\s*"id"\s*:\s*\d{1,15}\s*)?\}\s*$/

/** The id of a response of which only head and tail are left; null where it is no response, or does not show. */
export const responseIdOf = (line: { readonly head: Buffer; readonly tail: Buffer }): number | null => {
  const head = responseHead.exec(line.head.toString("latin1"))
  if (head === null) return null
  const digits = head[1] ?? responseTail.exec(line.tail.toString("latin1"))?.[1]
  return digits === undefined ? null : Number(digits)
}

/** Whether ASCII text stands in a line in pieces, from an offset into the first on. */
export const holds = (pieces: ReadonlyArray<Buffer>, text: string, from: number): boolean => {
  for (let i = 0; i < pieces.length; i++) {
    const piece = pieces[i]!
    if (piece.indexOf(text, i === 0 ? from : 0) !== -1) return true
    const next = pieces[i + 1]
    if (next === undefined) continue
    const seam = piece.toString("latin1", Math.max(i === 0 ? from : 0, piece.length - text.length + 1))
    if ((seam + next.toString("latin1", 0, text.length - 1)).includes(text)) return true
  }
  return false
}
