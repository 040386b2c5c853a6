/** Ids of requests: the pool's own, which are numbers, and clients', which may be anything. Pure. */

/** The id in `bytes[from, to)`; -1, which no call has, where it is not one that the pool gives. */
export const idIn = (bytes: Uint8Array, from: number, to: number): number => {
  if (to <= from || to - from > maxDigits) return -1
  let value = 0
  for (let i = from; i < to; i++) {
    const digit = bytes[i]! - 0x30
    if (digit < 0 || digit > 9) return -1
    value = value * 10 + digit
  }
  return value
}

/** Ids are equal as JSON values: `1` is `1.0`, and not `"1"`. */
export const canonicalId = (id: string): string => {
  if (/^(\d{1,15}|"[ !#-[\]-~]*")$/.test(id)) return id
  try {
    return JSON.stringify(JSON.parse(Buffer.from(id, "latin1").toString("utf8")))
  } catch {
    // Nested too deeply to be written again: equal to itself.
    return id
  }
}

/** Whether one of a client's own ids is meant by `id`, both JSON text. */
export const isSameId = (id: string): ((other: string) => boolean) => {
  const wanted = canonicalId(id)
  return (other) => other === id || canonicalId(other) === wanted
}

/** What fits a number exactly. */
const maxDigits = 15
